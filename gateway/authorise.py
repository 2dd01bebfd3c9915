"""Caller + path -> Permit: the operation is on sale, within the key's scopes and subscribed to."""

from catalog.load import Catalogue
from catalog.vocabulary.problem import Problem
from gateway.proofs import Caller, Permit


def authorise(caller: Caller, path: str, catalogue: Catalogue) -> Permit:
    """The permit to call the operation at `path`; `Problem` unknown-operation, forbidden or not-subscribed."""
    operation = catalogue.operations.get(path)
    if operation is None:
        raise Problem("unknown-operation", "No operation is published under this path.")
    scopes = caller.scopes
    if "*" not in scopes and operation.id not in scopes and f"{operation.service}/*" not in scopes:
        raise Problem("forbidden", f"The scopes of this key do not include {operation.id}.")
    subscription = caller.subscriptions.get(operation.service)
    if subscription is None:
        raise Problem("not-subscribed", f"The account has no subscription to {operation.service}.")
    return Permit(caller, operation, subscription[0], subscription[1])
