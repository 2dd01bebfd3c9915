"""How much of what is left one worker is granted at once."""

from decimal import Decimal

CALLS_MAX = 5000


def slice_of(left: Decimal, need: Decimal, holders: int) -> Decimal:
    """The size of the next lease: whole calls like the one that asks, from one to five thousand; 0 if not even one fits.

    `left` is not leased to anybody, `need` is above zero, and `holders` workers hold leases of the same allowance, the
    asking one included. Half of an equal share is granted, so slices shrink as the end comes near, down to the one
    call: what idle workers hold is then never more than what is left for the others to ask for.
    """
    assert need > 0 and holders > 0, "a lease is for something and for somebody"
    if left < need:
        return Decimal(0)
    calls = min(left // (2 * holders * need), Decimal(CALLS_MAX))
    return max(calls, Decimal(1)) * need
