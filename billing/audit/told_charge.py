"""What replies told their callers that calls cost (`Ordergate-Charge`), anew from the stored calls and their prices."""

from decimal import Decimal

import asyncpg
import msgspec

from billing.store.usage_row import dimensions_of
from billing.transaction import Connection
from catalog.load import AppliedPrice, applied
from catalog.registry.published import price_versions
from catalog.vocabulary.money import plain

_NOTHING = Decimal(0)


class ToldCharge(msgspec.Struct, frozen=True):
    """An amount of a currency at list price, not rounded to it."""

    amount: Decimal
    currency: str

    def __str__(self) -> str:
        """As in the header: `0.055 CNY`."""
        return f"{plain(self.amount)} {self.currency}"

    def apart(self, other: "ToldCharge") -> Decimal:
        """How far two charges are apart; of two currencies, both amounts."""
        if self.currency != other.currency:
            return self.amount + other.amount
        return abs(self.amount - other.amount)


class ToldCharges:
    """The charges of stored calls; each price version is asked for once."""

    def __init__(self, connection: Connection) -> None:
        """No price is known yet."""
        self._connection = connection
        self._prices: dict[str, AppliedPrice | None] = {}

    async def of(self, row: asyncpg.Record) -> ToldCharge | None:
        """That of a call as it was answered: by its own row, whatever has amended it since. None where its price is not known."""
        version = row["price_version"]
        if version not in self._prices:
            found = await price_versions(self._connection, [version])
            self._prices[version] = applied(found[0]) if found else None
        price = self._prices[version]
        if price is None:
            return None
        of_combination = price.of(dimensions_of(row)) or price
        return ToldCharge(
            of_combination.amount(row["units"]) if row["billable"] else _NOTHING, price.currency
        )


def said_charge(text: str) -> ToldCharge:
    """A charge of a client's book, `0.055 CNY`."""
    amount, currency = text.split(" ")
    return ToldCharge(Decimal(amount), currency)
