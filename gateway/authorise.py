"""Caller + path -> Permit: the operation is on sale to the caller, within the key's scopes and subscribed to."""

from collections.abc import Collection
from difflib import get_close_matches

from catalog.load import Catalogue, PublishedOperation
from catalog.vocabulary.problem import Problem
from gateway.proofs import Caller, Permit

# From 0, nothing in common, to 1: a slip or another ending, and not just another word.
_ALIKE = 0.7


def find_operation(path: str, catalogue: Catalogue, caller: Caller) -> PublishedOperation:
    """The operation on sale at `path`; `Problem` unknown-operation, also where it is not on offer to the caller: whoever
    does not find a service in its catalogue does not learn here that it exists."""
    operation = catalogue.operations.get(path)
    if operation is None or not caller.is_offered(operation):
        raise _unknown(path, catalogue, caller)
    return operation


def authorise(caller: Caller, operation: PublishedOperation, now_ns: int) -> Permit:
    """The permit to call the operation now; `Problem` forbidden or not-subscribed."""
    scopes = caller.scopes
    if "*" not in scopes and operation.id not in scopes and f"{operation.service}/*" not in scopes:
        raise Problem("forbidden", f"The scopes of this key do not include {operation.id}.")
    subscription = caller.subscription_to(operation.service, now_ns)
    if subscription is None:
        raise Problem("not-subscribed", f"The account has no subscription to {operation.service}.")
    return Permit(caller, operation, subscription)


def _unknown(path: str, catalogue: Catalogue, caller: Caller) -> Problem:
    """With the operation that was meant, of those on offer to the caller: what is hidden from it changes no answer."""
    offered: dict[str, dict[str, str]] = {}
    for one in catalogue.operations.values():
        if caller.is_offered(one):
            offered.setdefault(one.service, {})[one.id.rpartition("/")[2]] = one.path
    _, _, service, name = path.split("/")
    detail = "No operation is published under this path."
    # The service first: each of a few names is compared instead of each operation, which a caller may ask for at any rate.
    if (closest := _closest(service, offered)) and (meant := _closest(name, offered[closest])):
        detail += f" Did you mean `{closest}/{meant}` ({offered[closest][meant]})?"
    return Problem("unknown-operation", detail)


def _closest(name: str, names: Collection[str]) -> str | None:
    return name if name in names else next(iter(get_close_matches(name, names, n=1, cutoff=_ALIKE)), None)
