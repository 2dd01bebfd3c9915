"""What of the demo group was really used: by whoever had a key, a link or a command, and not by the demo itself."""

from datetime import UTC, datetime

import asyncpg
import msgspec

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

# The demo's own calls are in its journal and end when the group was opened; reported usage may be of any time.
_USED = """
    WITH calls AS (
        SELECT whose, count(*) FILTER (WHERE made_up) AS made_up, count(*) FILTER (WHERE NOT made_up) AS real
        FROM billing.usage_event, (VALUES (true), (false)) AS side (pays),
             LATERAL (SELECT CASE WHEN pays THEN payer ELSE account_id END AS whose,
                             occurred_at <= $1 AND recorded_by = 'journal' AS made_up) AS call
        WHERE pays OR payer <> account_id GROUP BY whose)
    SELECT id, name, coalesce(made_up, 0), coalesce(real, 0),
           (SELECT count(*) FROM billing.dispute WHERE account.id = account_id AND opened_at >= $1),
           (SELECT count(*) FROM billing.credit_note WHERE account.id = account_id AND issued_at >= $1),
           (SELECT count(*) FROM catalog.membership WHERE account.id = account_id)
    FROM catalog.account AS account LEFT JOIN calls ON whose = account.id WHERE demo ORDER BY id
"""


class DemoAccount(msgspec.Struct, frozen=True):
    """An account of the demo: its made-up calls, and what really happened to it."""

    id: str
    name: str
    made_up: int
    calls: int
    disputes: int
    credit_notes: int
    members: int

    @property
    def is_used(self) -> bool:
        """Whether somebody would miss it."""
        return bool(self.calls or self.disputes or self.credit_notes or self.members)


async def demo_accounts(owner: asyncpg.Connection, opened_at: datetime | None) -> tuple[DemoAccount, ...]:
    """The group's accounts, as far as their calls are stored; `opened_at` is when the demo was opened."""
    rows = await owner.fetch(_USED, opened_at or LONG_AGO)
    return tuple(DemoAccount(*row) for row in rows)
