"""Who issues: the one legal entity that this installation bills for, as its documents show it."""

from datetime import datetime

import msgspec

from catalog.accounts.refusal import invalid_fields
from catalog.registry import audit
from catalog.transaction import Transaction, require_transaction
from catalog.vocabulary.iso3166 import is_country
from catalog.vocabulary.problem import FieldError

_LENGTH_MAX = 500
_DAYS_MAX = 365
_REQUIRED = ("legal_name", "address", "tax_id")


class SellerProfile(msgspec.Struct, frozen=True, omit_defaults=True):
    """The house's billing profile: the company's legal name, its postal address (lines allowed) and its tax id.

    `payment_days` after its issue an invoice is due, on the payer's calendar, unless other days were agreed with the payer:
    then a document of that payer shows those; `payment_terms` says more about it in words,
    `bank` where to pay. `country` is two letters of ISO 3166.
    """

    legal_name: str
    address: str
    tax_id: str
    country: str = ""
    payment_days: int = 30
    payment_terms: str = ""
    bank: str = ""


class NamedSeller(msgspec.Struct, frozen=True):
    """A seller as it was named; `demo` is one that came with the demo and exists nowhere."""

    profile: SellerProfile
    demo: bool


# Of documents the same, whichever version wrote them.
decode_seller = msgspec.json.Decoder(SellerProfile).decode


async def set_seller(
    transaction: Transaction, profile: SellerProfile, actor: str, now: datetime, *, demo: bool = False
) -> None:
    """Say who issues; later documents carry it, issued ones keep theirs. `Problem` invalid-input."""
    require_transaction(transaction)
    errors = [
        FieldError(f"/{name}", "length", f"write {at_least} to {_LENGTH_MAX} characters; an invoice shows it")
        for name, at_least in (*((name, 1) for name in _REQUIRED), ("payment_terms", 0), ("bank", 0))
        if not at_least <= len(getattr(profile, name).strip()) <= _LENGTH_MAX
    ]
    if profile.country and not is_country(profile.country):
        errors.append(FieldError("/country", "region", "use the two letters of ISO 3166, such as CN"))
    if not 0 <= profile.payment_days <= _DAYS_MAX:
        errors.append(FieldError("/payment_days", "range", f"write 0 to {_DAYS_MAX} days"))
    if errors:
        raise invalid_fields(errors)
    await transaction.execute(
        "INSERT INTO catalog.seller (profile, demo, set_at, set_by) VALUES ($1, $2, $3, $4)",
        msgspec.json.encode(profile).decode(),
        demo,
        now,
        actor,
    )
    # The audit log says that it changed, never to what: it holds no personal data.
    fields = sorted(msgspec.structs.asdict(profile))
    await audit.append(transaction, actor, "seller.profile", "installation/seller", {"fields": fields}, now)


async def read_seller(transaction: Transaction) -> SellerProfile | None:
    """The seller as documents would show it now; None where nobody has said who it is."""
    named = await named_seller(transaction)
    return None if named is None else named.profile


async def named_seller(transaction: Transaction) -> NamedSeller | None:
    """The seller as it was named last; None where nobody has said who it is."""
    found = await transaction.fetchrow("SELECT profile, demo FROM catalog.seller ORDER BY id DESC LIMIT 1")
    return None if found is None else NamedSeller(decode_seller(found["profile"]), found["demo"])
