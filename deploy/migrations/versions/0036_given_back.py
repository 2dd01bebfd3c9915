"""What reported usage took of budgets and credit is given back where it is corrected, and by nothing else.

Revision: 0036
"""

from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

_STATEMENTS = (
    "SET LOCAL statement_timeout = 0",
    # Of a budget `used` never becomes less: what was given back of it is a counter of its own.
    "ALTER TABLE billing.allowance ADD COLUMN returned numeric NOT NULL DEFAULT 0, ADD CONSTRAINT allowance_returned_check "
    "CHECK (returned = 0 OR (kind = 'budget' AND returned BETWEEN 0 AND used))",
    "GRANT UPDATE (returned) ON billing.allowance TO ordergate_gateway",
    # Of credit it is a lease that nobody held, like the one that took it, of less than nothing.
    "ALTER TABLE billing.lease DROP CONSTRAINT lease_granted_check, DROP CONSTRAINT lease_check, "
    "ADD CONSTRAINT lease_granted_check CHECK (granted >= 0 OR worker_id IS NULL), "
    "ADD CONSTRAINT lease_used_check CHECK (used BETWEEN 0 AND granted OR worker_id IS NULL)",
    "CREATE INDEX lease_reported ON billing.lease (allowance_id, period) WHERE worker_id IS NULL",
)

# Look-ups are by key, whatever the tables were like when a session made its plan.
_FUNCTION = (
    "CREATE OR REPLACE FUNCTION billing.{name}() RETURNS trigger LANGUAGE plpgsql "
    "SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$\n"
    "{body}\n$$"
)
# Credit may become free again: through documents, which billing finds out, and through corrections, which the gateway takes.
_USED = """
    BEGIN
        IF OLD.kind = 'credit' THEN
            RETURN NEW;
        END IF;
        RAISE EXCEPTION 'what was used of % % does not become less', OLD.kind, OLD.subject USING ERRCODE = 'restrict_violation';
    END
"""
# As before, and for whichever of the product's roles freed it.
_FREED = """
    DECLARE
        stands record;
    BEGIN
        SELECT used, leased, kind,
               (SELECT coalesce(sum(granted), 0) FROM billing.lease
                WHERE allowance_id = allowance.id AND state <> 'closed') AS held
          INTO stands FROM billing.allowance WHERE id = NEW.id;
        IF stands.leased < stands.held THEN
            RAISE EXCEPTION 'of % % more is held than is leased', OLD.kind, OLD.subject USING ERRCODE = 'check_violation';
        END IF;
        IF NEW.used < OLD.used AND current_user IN ('ordergate_billing', 'ordergate_gateway') AND stands.used <> (
            SELECT coalesce(sum(lease.used), 0) FROM billing.lease WHERE allowance_id = NEW.id AND state = 'closed') + (
            SELECT coalesce(sum(applied - captured), 0) FROM billing.credit_application WHERE grant_id = NEW.subject) - (
            SELECT coalesce(sum(amount), 0) FROM billing.credit_restoration
             WHERE grant_id = NEW.subject AND restored_to = NEW.subject) THEN
            RAISE EXCEPTION 'grant %: its leases and documents do not come to %', OLD.subject, stands.used
                USING ERRCODE = 'check_violation';
        END IF;
        RETURN NULL;
    END
"""
# When a transaction ends that gives back, it has to have stored usage that takes units away. How much that is at list price
# is the product's to work out; the counters' own bounds hold whatever it says.
_CORRECTED = """EXISTS (
            SELECT FROM billing.usage_event
            WHERE stored_xid = pg_current_xact_id() AND amends IS NOT NULL AND units < 0
              AND (account_id, environment) = (whose.account_id, whose.environment))"""
_RETURNED = f"""
    DECLARE
        whose billing.allowance := NEW;
    BEGIN
        IF NEW.returned < OLD.returned OR NOT {_CORRECTED} THEN
            RAISE EXCEPTION '% % gives back what a correction takes away, and nothing else', NEW.kind, NEW.subject
                USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NULL;
    END
"""
_GIVEN_BACK = f"""
    DECLARE
        whose billing.allowance;
    BEGIN
        SELECT * INTO whose FROM billing.allowance WHERE id = NEW.allowance_id;
        IF whose.kind <> 'credit' OR NOT {_CORRECTED} THEN
            RAISE EXCEPTION '% % gives back what a correction takes away, and nothing else', whose.kind, whose.subject
                USING ERRCODE = 'restrict_violation';
        END IF;
        IF (SELECT sum(used) FROM billing.lease
            WHERE allowance_id = NEW.allowance_id AND period = NEW.period AND worker_id IS NULL) < 0 THEN
            RAISE EXCEPTION 'grant %: more comes back than reported usage of % took', whose.subject, NEW.period
                USING ERRCODE = 'check_violation';
        END IF;
        RETURN NULL;
    END
"""  # noqa: S608 - a constant of this file
_TRIGGERS = (
    "CREATE CONSTRAINT TRIGGER returned AFTER UPDATE OF returned ON billing.allowance DEFERRABLE INITIALLY DEFERRED "
    "FOR EACH ROW WHEN (NEW.returned <> OLD.returned) EXECUTE FUNCTION billing.check_returned()",
    "CREATE CONSTRAINT TRIGGER given_back AFTER INSERT ON billing.lease DEFERRABLE INITIALLY DEFERRED "
    "FOR EACH ROW WHEN (NEW.used < 0) EXECUTE FUNCTION billing.check_given_back()",
)


def upgrade() -> None:
    """Add the counter, let such leases be less than nothing, and check both."""
    for statement in _STATEMENTS:
        op.execute(statement)
    for name, body in (
        ("keep_used", _USED),
        ("check_freed", _FREED),
        ("check_returned", _RETURNED),
        ("check_given_back", _GIVEN_BACK),
    ):
        op.execute(_FUNCTION.format(name=name, body=body))
        # A trigger needs no such right.
        op.execute(f"REVOKE EXECUTE ON FUNCTION billing.{name} FROM PUBLIC")
    for statement in _TRIGGERS:
        op.execute(statement)
