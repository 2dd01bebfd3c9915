"""Passports that wait for a second person's approval, and what was decided about them.

Revision: 0006
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_STATEMENTS = (
    # `replaces` is the revision that was on sale when it was submitted, 0 before the first: what is approved is the
    # change that was looked at, not whatever it would mean after another publication.
    """
    CREATE TABLE catalog.submission (
        id text PRIMARY KEY,
        service text NOT NULL,
        version text NOT NULL,
        document jsonb NOT NULL,
        replaces integer NOT NULL CHECK (replaces >= 0),
        submitted_at timestamptz NOT NULL,
        submitted_by text NOT NULL,
        UNIQUE (id, submitted_by)
    )
    """,
    # One row for a submission, for ever. That nobody approves what they submitted is held here as well.
    """
    CREATE TABLE catalog.review (
        submission_id text PRIMARY KEY,
        submitted_by text NOT NULL,
        verdict text NOT NULL CHECK (verdict IN ('approved', 'rejected')),
        reason text NOT NULL DEFAULT '',
        revision integer,
        reviewed_at timestamptz NOT NULL,
        reviewed_by text NOT NULL,
        FOREIGN KEY (submission_id, submitted_by) REFERENCES catalog.submission (id, submitted_by),
        CHECK (verdict = 'rejected' OR reviewed_by <> submitted_by),
        CHECK ((verdict = 'approved') = (revision IS NOT NULL)),
        CHECK ((verdict = 'rejected') = (reason <> ''))
    )
    """,
    "CALL catalog.append_only('catalog.submission')",
    "CALL catalog.append_only('catalog.review')",
    "GRANT SELECT, INSERT ON catalog.submission, catalog.review TO ordergate_gateway",
    "GRANT SELECT ON catalog.submission, catalog.review TO ordergate_reader",
)


def upgrade() -> None:
    """Create the tables of review."""
    for statement in _STATEMENTS:
        op.execute(statement)
