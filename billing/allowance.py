"""Door for the gateway: remaining quota, budget and credit as leases that a worker takes, returns and gives up."""

from billing.lease.give_back import (
    OpenLease,
    abandon_leases,
    close_leases,
    open_leases,
    register,
    shrink_leases,
)
from billing.lease.take import take
from billing.lease.terms import Granted, Holder, Kind, Standing, Taken, Wanted

__all__ = [
    "Granted",
    "Holder",
    "Kind",
    "OpenLease",
    "Standing",
    "Taken",
    "Wanted",
    "abandon_leases",
    "close_leases",
    "open_leases",
    "register",
    "shrink_leases",
    "take",
]
