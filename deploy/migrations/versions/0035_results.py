"""Proven results: stated, then accepted or declined by the payer; only what is accepted becomes usage.

Revision: 0035
"""

from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

_STATEMENTS = (
    # What a reply states has no row before somebody says something about it: its id is the call's. `value` is what stands
    # after the step. An acceptance names the usage row that it made.
    """
    CREATE TABLE billing.result_step (
        result_id uuid NOT NULL,
        step integer NOT NULL CHECK (step > 0),
        account_id text NOT NULL,
        environment text NOT NULL CHECK (environment IN ('live', 'test')),
        period date NOT NULL CHECK (extract(day FROM period) = 1),
        call_id uuid NOT NULL,
        operation text NOT NULL,
        subscription_id text NOT NULL,
        price_version text NOT NULL,
        kind text NOT NULL CHECK (kind IN ('stated', 'withdrawn', 'declined', 'accepted')),
        baseline numeric,
        measured numeric,
        volume numeric CHECK (volume >= 0),
        value numeric NOT NULL CHECK (value >= 0),
        words text NOT NULL,
        amendment_id uuid UNIQUE,
        taken_at timestamptz NOT NULL,
        taken_by text NOT NULL,
        PRIMARY KEY (result_id, step),
        CHECK (step > 1 OR kind = 'stated' OR result_id = call_id),
        CHECK ((kind = 'accepted') = (amendment_id IS NOT NULL)),
        CHECK (CASE kind WHEN 'stated' THEN num_nulls(baseline, measured, volume) = 0
                         ELSE num_nonnulls(baseline, measured, volume) = 0 END),
        CHECK (kind <> 'stated' OR value = greatest(0, baseline - measured) * volume)
    )
    """,
    "CREATE UNIQUE INDEX result_accepted_once ON billing.result_step (result_id) WHERE kind = 'accepted'",
    "CREATE INDEX result_step_month ON billing.result_step (account_id, environment, period, result_id, step)",
    # Steps follow each other, and nothing follows an acceptance.
    """
    CREATE FUNCTION billing.follow_result() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
    BEGIN
        PERFORM FROM billing.result_step
          WHERE result_id = NEW.result_id AND step = NEW.step - 1 AND kind <> 'accepted'
            AND (account_id, environment, period, call_id, operation, subscription_id, price_version)
              = (NEW.account_id, NEW.environment, NEW.period, NEW.call_id, NEW.operation, NEW.subscription_id, NEW.price_version)
            AND (NEW.kind = 'stated' OR (value = NEW.value AND kind = 'stated'));
        IF NOT FOUND THEN
            RAISE EXCEPTION 'result %: % does not follow', NEW.result_id, NEW.kind USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END $$
    """,
    "REVOKE EXECUTE ON FUNCTION billing.follow_result FROM PUBLIC",
    "CREATE TRIGGER follow_result BEFORE INSERT ON billing.result_step FOR EACH ROW WHEN (NEW.step > 1) "
    "EXECUTE FUNCTION billing.follow_result()",
    "CALL catalog.append_only('billing.result_step')",
    "CREATE TRIGGER never_emptied BEFORE TRUNCATE ON billing.result_step "
    "FOR EACH STATEMENT EXECUTE FUNCTION catalog.refuse_change()",
    "CALL catalog.protect('billing.result_step')",
    "GRANT SELECT ON billing.result_step TO ordergate_billing, ordergate_reader",
    "GRANT SELECT, INSERT ON billing.result_step TO ordergate_gateway",
)


def upgrade() -> None:
    """Create the table of results, which only grows."""
    for statement in _STATEMENTS:
        op.execute(statement)
