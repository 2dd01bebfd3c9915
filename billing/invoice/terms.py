"""By which terms a month is billed: the present ones while it is open, and for ever those that it was issued by."""

from collections.abc import Iterable, Mapping

import msgspec

from billing.invoice.month import Payer
from billing.transaction import Connection
from catalog.accounts.contract_terms import ContractTerms, all_terms, terms_in
from catalog.accounts.tax import TaxRate, list_tax_rates, rates_in
from catalog.vocabulary.period import Period


class MonthTerms(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a month's bill has beside its lines; nothing for most accounts. Stored with the document that it issued."""

    contracts: tuple[ContractTerms, ...] = ()
    taxes: tuple[TaxRate, ...] = ()


NO_TERMS = MonthTerms()


class AgreedTerms(msgspec.Struct, frozen=True):
    """All terms that were agreed, by account, and the tax rates."""

    contracts: Mapping[str, tuple[ContractTerms, ...]]
    rates: tuple[TaxRate, ...]

    def of(self, account_id: str) -> tuple[ContractTerms, ...]:
        """An account's terms in the order of their days."""
        return self.contracts.get(account_id, ())

    def month(self, payer: Payer, period: Period) -> MonthTerms:
        """What applies to a month that is not issued. Taxes are an external account's, by the country of its profile."""
        taxes: tuple[TaxRate, ...] = ()
        if payer.kind == "external" and (region := payer.profile.get("country")):
            taxes = rates_in(self.rates, region, period)
        return MonthTerms(terms_in(self.of(payer.id), period), taxes)


async def read_terms(connection: Connection, accounts: Iterable[str] | None = None) -> AgreedTerms:
    """The terms of these accounts, of all in the transaction's scope for None."""
    return AgreedTerms(await all_terms(connection, accounts), await list_tax_rates(connection))


def decode_terms(stored: str | bytes) -> MonthTerms:
    """Terms as a document keeps them; msgspec writes decimals as strings and reads them back."""
    return msgspec.json.decode(stored, type=MonthTerms)


def encode_terms(terms: MonthTerms) -> str:
    """What a document keeps."""
    return msgspec.json.encode(terms).decode()
