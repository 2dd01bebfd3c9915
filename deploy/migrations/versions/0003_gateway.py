"""Credentials and stored replies of the call path.

Revision: 0003
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
    CREATE TABLE gateway.api_key (
        public_id text PRIMARY KEY,
        account_id text NOT NULL REFERENCES catalog.account,
        application_id text NOT NULL REFERENCES catalog.application,
        environment text NOT NULL CHECK (environment IN ('live', 'test')),
        digest bytea NOT NULL CHECK (length(digest) = 32),
        pepper_version integer NOT NULL,
        scopes text[] NOT NULL,
        label text NOT NULL DEFAULT '',
        created_at timestamptz NOT NULL,
        revoked_at timestamptz,
        changed_xid xid8 NOT NULL DEFAULT pg_current_xact_id()
    )
    """,
    "CREATE INDEX api_key_account ON gateway.api_key (account_id)",
    "CREATE INDEX api_key_changed ON gateway.api_key (changed_xid)",
    "CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON gateway.api_key FOR EACH ROW EXECUTE FUNCTION catalog.stamp_change()",
    """
    CREATE TABLE gateway.stored_reply (
        environment text NOT NULL,
        account_id text NOT NULL,
        operation text NOT NULL,
        idempotency_key text NOT NULL,
        request_hash bytea NOT NULL,
        call_id uuid NOT NULL,
        status smallint NOT NULL,
        headers jsonb NOT NULL,
        body bytea NOT NULL,
        expires_at timestamptz NOT NULL,
        PRIMARY KEY (account_id, environment, operation, idempotency_key)
    )
    """,
    "CREATE INDEX stored_reply_expiry ON gateway.stored_reply (expires_at)",
    "CALL catalog.protect('gateway.api_key')",
    "CALL catalog.protect('gateway.stored_reply')",
    "GRANT SELECT, INSERT ON gateway.api_key TO ordergate_gateway",
    "GRANT UPDATE (revoked_at) ON gateway.api_key TO ordergate_gateway",
    "GRANT SELECT, INSERT, DELETE ON gateway.stored_reply TO ordergate_gateway",
    "GRANT SELECT (public_id, account_id, application_id, environment, scopes, label, created_at, revoked_at) "
    "ON gateway.api_key TO ordergate_reader, ordergate_billing",
)


def upgrade() -> None:
    """Create the call path's tables."""
    for statement in _STATEMENTS:
        op.execute(statement)
