"""A refusal that the business rightly gives counts as a success: what it lowered the price of is rated again.

Revision: 0027
"""

from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

# Months whose price a refusal lowered are rated again. Where the amount moves, one that was issued is corrected on the next
# document, as for usage that comes late.
_MARK = """
    INSERT INTO billing.unrated (account_id, environment, period)
    SELECT DISTINCT line.account_id, line.environment, line.period
      FROM billing.rated_line AS line
      JOIN catalog.price_version AS priced ON priced.id = line.price_version
     WHERE (priced.model = 'success_tiered' OR priced.price ? 'success_factor')
       AND EXISTS (SELECT FROM billing.usage_hour AS used
                    WHERE used.environment = line.environment AND used.operation = line.operation
                      AND used.outcome = 'business_refusal'
                      AND used.period BETWEEN line.period - interval '2 months' AND line.period)
     ORDER BY 1, 2, 3
    ON CONFLICT (account_id, environment, period) DO UPDATE SET period = excluded.period
"""


def upgrade() -> None:
    """Mark the months."""
    op.execute("SET LOCAL statement_timeout = 0")
    op.execute(_MARK)
