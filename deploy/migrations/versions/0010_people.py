"""People: who may sign in, for which accounts, by which one-time link, and the sessions that came of it.

Revision: 0010
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_STATEMENTS = (
    # An address is stored in lower case, so that nobody is two people by a capital letter.
    """
    CREATE TABLE catalog.person (
        id text PRIMARY KEY,
        email text NOT NULL UNIQUE CHECK (email = lower(email)),
        role text NOT NULL CHECK (role IN ('operator', 'product_owner', 'finance', 'member')),
        created_at timestamptz NOT NULL
    )
    """,
    """
    CREATE TABLE catalog.membership (
        account_id text NOT NULL REFERENCES catalog.account,
        person_id text NOT NULL REFERENCES catalog.person,
        PRIMARY KEY (account_id, person_id)
    )
    """,
    "CREATE INDEX membership_person ON catalog.membership (person_id)",
    # Links and sessions are kept as SHA-256 of 256 random bits: who reads the table cannot sign in.
    """
    CREATE TABLE gateway.sign_in_link (
        digest bytea PRIMARY KEY CHECK (length(digest) = 32),
        person_id text NOT NULL REFERENCES catalog.person,
        created_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL CHECK (expires_at > created_at),
        used_at timestamptz
    )
    """,
    "CREATE INDEX sign_in_link_person ON gateway.sign_in_link (person_id)",
    """
    CREATE TABLE gateway.session (
        digest bytea PRIMARY KEY CHECK (length(digest) = 32),
        person_id text NOT NULL REFERENCES catalog.person,
        created_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL CHECK (expires_at > created_at),
        ended_at timestamptz
    )
    """,
    "CREATE INDEX session_person ON gateway.session (person_id)",
    "CALL catalog.protect('catalog.membership')",
    "GRANT SELECT, INSERT ON catalog.person, catalog.membership, gateway.sign_in_link, gateway.session "
    "TO ordergate_gateway",
    "GRANT UPDATE (used_at) ON gateway.sign_in_link TO ordergate_gateway",
    "GRANT UPDATE (ended_at) ON gateway.session TO ordergate_gateway",
    "GRANT SELECT ON catalog.person, catalog.membership TO ordergate_reader",
)


def upgrade() -> None:
    """Create the tables of people."""
    for statement in _STATEMENTS:
        op.execute(statement)
