"""A price version knows what one unit of it is.

Revision: 0039
"""

from alembic import op

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None

_STATEMENTS = (
    "ALTER TABLE catalog.price_version ADD COLUMN meter text",
    # What the passports on sale count. All versions of a price get the same, whatever they once counted, so that nothing that
    # was billed moves. A price whose operation is gone counts what nobody knows any more.
    "ALTER TABLE catalog.price_version DISABLE TRIGGER append_only",
    """
    UPDATE catalog.price_version AS price SET meter = counted.meter
    FROM (SELECT service, service || '/' || (entry ->> 'id') AS operation,
                 CASE WHEN entry #>> '{meter,unit}' IS NOT NULL THEN 'unit ' || (entry #>> '{meter,unit}')
                      WHEN entry #>> '{meter,items}' IS NOT NULL THEN 'items ' || (entry #>> '{meter,items}')
                      ELSE 'value ' || (entry #>> '{meter,value}') END AS meter
          FROM (SELECT DISTINCT ON (service) service, document FROM catalog.passport
                ORDER BY service, revision DESC) AS passport
          CROSS JOIN jsonb_array_elements(document::jsonb -> 'operations') AS entry) AS counted
    WHERE price.service = counted.service AND price.operation = counted.operation
    """,
    "ALTER TABLE catalog.price_version ENABLE TRIGGER append_only",
)


def upgrade() -> None:
    """Add the column and fill it."""
    op.execute("SET LOCAL statement_timeout = 0")
    for statement in _STATEMENTS:
        op.execute(statement)
