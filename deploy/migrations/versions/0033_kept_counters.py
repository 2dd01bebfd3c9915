"""Counters that the product's own roles move go only where they may: numbers up by one, limits never back.

Revision: 0033
"""

from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

# Look-ups are by key, whatever the tables were like when a session made its plan.
_FUNCTION = (
    "CREATE FUNCTION billing.{name}() RETURNS trigger LANGUAGE plpgsql "
    "SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$\n"
    "{body}\n$$"
)
# A number is taken by the transaction that issues; a series begins with its first.
_NUMBER = """
    BEGIN
        IF TG_OP = 'INSERT' AND NEW.last = 1
           OR TG_OP = 'UPDATE' AND NEW.series = OLD.series AND NEW.last = OLD.last + 1 THEN
            RETURN NEW;
        END IF;
        RAISE EXCEPTION 'series %: numbers are taken one after the other', NEW.series USING ERRCODE = 'restrict_violation';
    END
"""
# What calls have used of a quota or budget is never less than it was. Credit that paid for less than its calls took is free
# again, which billing alone finds out.
_USED = """
    BEGIN
        IF OLD.kind = 'credit' AND current_user <> 'ordergate_gateway' THEN
            RETURN NEW;
        END IF;
        RAISE EXCEPTION 'what was used of % % does not become less', OLD.kind, OLD.subject USING ERRCODE = 'restrict_violation';
    END
"""
# What becomes free again was either leased and returned, or is what documents made of what calls took. When the transaction
# ends, the leases and what credit paid have to say so. A superuser who repairs a counter is not held to it.
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
        IF NEW.used < OLD.used AND current_user = 'ordergate_billing' AND stands.used <> (
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
_LEASE = """
    BEGIN
        RAISE EXCEPTION 'lease %: it only becomes smaller, is used when it is closed, and stays closed', OLD.id
            USING ERRCODE = 'restrict_violation';
    END
"""
_TRIGGERS = (
    "CREATE TRIGGER one_after_the_other BEFORE INSERT OR UPDATE ON billing.invoice_number "
    "FOR EACH ROW EXECUTE FUNCTION billing.keep_number()",
    "CREATE TRIGGER never_less BEFORE UPDATE OF used ON billing.allowance FOR EACH ROW WHEN (NEW.used < OLD.used) "
    "EXECUTE FUNCTION billing.keep_used()",
    "CREATE CONSTRAINT TRIGGER freed AFTER UPDATE OF used, leased ON billing.allowance DEFERRABLE INITIALLY DEFERRED "
    "FOR EACH ROW WHEN (NEW.used < OLD.used OR NEW.leased < OLD.leased) EXECUTE FUNCTION billing.check_freed()",
    "CREATE TRIGGER keep_terms BEFORE UPDATE ON billing.lease FOR EACH ROW WHEN (OLD.state = 'closed' "
    "OR NEW.granted > OLD.granted OR (NEW.used <> OLD.used AND NEW.state <> 'closed') "
    "OR (OLD.state = 'orphaned' AND NEW.state = 'open')) EXECUTE FUNCTION billing.refuse_lease()",
)


def upgrade() -> None:
    """Add the checks."""
    for name, body in (
        ("keep_number", _NUMBER),
        ("keep_used", _USED),
        ("check_freed", _FREED),
        ("refuse_lease", _LEASE),
    ):
        op.execute(_FUNCTION.format(name=name, body=body))
        # A trigger needs no such right.
        op.execute(f"REVOKE EXECUTE ON FUNCTION billing.{name} FROM PUBLIC")
    for statement in _TRIGGERS:
        op.execute(statement)
