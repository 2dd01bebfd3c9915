"""Who an invoice is addressed to: an external account is not invoiced without it."""

from datetime import datetime

import msgspec

from catalog.accounts.account import Account
from catalog.accounts.refusal import invalid_fields
from catalog.registry import audit
from catalog.transaction import Transaction, require_transaction
from catalog.vocabulary.iso3166 import is_country
from catalog.vocabulary.problem import FieldError

_LENGTH_MAX = 500


class BillingProfile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The recipient of invoices: the company's legal name, its postal address (lines allowed) and its tax id.

    `country` (two letters of ISO 3166) says whose tax is added; empty: none.
    """

    legal_name: str
    address: str
    tax_id: str
    country: str = ""


async def set_billing_profile(
    transaction: Transaction, account: Account, profile: BillingProfile, actor: str, now: datetime
) -> None:
    """Replace the account's profile; later invoices carry it, issued ones keep theirs. `Problem` invalid-input."""
    require_transaction(transaction)
    fields = msgspec.structs.asdict(profile)
    errors = [
        FieldError(f"/{name}", "length", f"write 1 to {_LENGTH_MAX} characters; an invoice must show it")
        for name, value in fields.items()
        if name != "country" and (not value.strip() or len(value) > _LENGTH_MAX)
    ]
    if profile.country and not is_country(profile.country):
        errors.append(FieldError("/country", "region", "use the two letters of ISO 3166, such as CN"))
    if errors:
        raise invalid_fields(errors)
    await transaction.execute(
        "UPDATE catalog.account SET billing_profile = $2 WHERE id = $1",
        account.id,
        msgspec.json.encode(profile).decode(),
    )
    # The audit log says that it changed, never to what: it holds no personal data.
    await audit.append(
        transaction, actor, "account.profile", f"account/{account.id}", {"fields": sorted(fields)}, now
    )
