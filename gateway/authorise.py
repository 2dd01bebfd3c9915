"""Caller + path -> Permit: the operation is on sale to the caller, within the key's scopes and subscribed to."""

from catalog.load import Catalogue, PublishedOperation
from catalog.vocabulary.alike import closest_operation
from catalog.vocabulary.problem import Problem
from gateway.proofs import Caller, Permit


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
    offered = {one.id: one.path for one in catalogue.operations.values() if caller.is_offered(one)}
    _, _, name = path[1:].partition("/")
    detail = "No operation is published under this path."
    if (meant := closest_operation(name, offered)) is not None:
        detail += f" Did you mean `{meant}` ({offered[meant]})?"
    return Problem("unknown-operation", detail)
