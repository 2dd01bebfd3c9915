"""What the postings add up to. A balance is never stored, so it cannot disagree with them."""

from decimal import Decimal

import msgspec

from billing.transaction import Connection
from catalog.vocabulary.ids import Environment


class Balance(msgspec.Struct, frozen=True):
    """The sum of one ledger account in one currency; debits are positive."""

    account_id: str
    ledger_account: str
    currency: str
    amount: Decimal


async def balances(connection: Connection, environment: Environment) -> tuple[Balance, ...]:
    """All balances of an environment's books that the transaction's scope may see, by account and name.

    Over the whole of an environment they sum to zero in every currency.
    """
    rows = await connection.fetch(
        "SELECT account_id, ledger_account, currency, sum(amount) AS amount "
        "FROM billing.posting JOIN billing.ledger_transaction ON ledger_transaction.id = transaction_id "
        "WHERE environment = $1 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
        environment,
    )
    return tuple(Balance(*row) for row in rows)
