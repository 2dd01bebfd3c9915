"""When an invoice is due: so many days after its issue, on its payer's calendar. What was agreed with the payer goes before
what the seller says of all."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from billing.transaction import Connection
from catalog.accounts.seller import SellerProfile, decode_seller

# The newest seller, and the days that were agreed with the payer.
_TERMS = """
    SELECT (SELECT profile FROM catalog.seller ORDER BY id DESC LIMIT 1) AS seller,
           (SELECT terms_days FROM billing.payment_account WHERE account_id = $1) AS agreed
"""


class PaymentTerms(msgspec.Struct, frozen=True):
    """Who issues, as a document of this payer shows it: with the payment days that hold for the payer. `days` is None where
    neither the payer's were agreed nor a seller is known."""

    seller: SellerProfile | None
    days: int | None

    def due_on(self, issued_at: datetime, timezone: str) -> date | None:
        """The last day on which what is issued now is paid in time, on the payer's calendar."""
        if self.days is None:
            return None
        return issued_at.astimezone(ZoneInfo(timezone)).date() + timedelta(days=self.days)


async def payment_terms(connection: Connection, account_id: str) -> PaymentTerms:
    """The terms under which a document of this account would be issued now."""
    row = await connection.fetchrow(_TERMS, account_id)
    assert row is not None, "a query without a table has a row"
    seller = None if row["seller"] is None else decode_seller(row["seller"])
    if row["agreed"] is None:
        return PaymentTerms(seller, None if seller is None else seller.payment_days)
    if seller is not None:
        seller = msgspec.structs.replace(seller, payment_days=row["agreed"])
    return PaymentTerms(seller, row["agreed"])
