"""Several calls of one account and environment in one transaction, and one call as the smallest such group."""

from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from typing import Any, TypeVar

from msgspec import Struct

from atomic_services.contract import CallContext
from atomic_services.stock.levels import Owner
from catalog.vocabulary.problem import BusinessRefusal, CallerFault, FieldError, Problem

Request = TypeVar("Request", bound=Struct)
Reply = TypeVar("Reply", bound=Struct)
Answers = list[Reply | Problem]
Together = Callable[[Sequence[Request], Sequence[CallContext]], Coroutine[Any, Any, Answers[Reply]]]
Alone = Callable[[Request, CallContext], Coroutine[Any, Any, Reply]]


def alone(together: Together[Request, Reply]) -> Alone[Request, Reply]:
    """The operation for one call: its answer, or the refusal raised."""

    async def run(request: Request, context: CallContext) -> Reply:
        (answer,) = await together([request], [context])
        if isinstance(answer, Problem):
            raise answer
        return answer

    run.__doc__ = together.__doc__
    return run


def one_by_one(
    decide: Callable[[Request, CallContext], Reply],
    requests: Sequence[Request],
    contexts: Sequence[CallContext],
) -> Answers[Reply]:
    """Each call's decision in the order of the calls; a refusal is an answer, anything else is raised."""
    answers: Answers[Reply] = []
    for request, context in zip(requests, contexts, strict=True):
        try:
            answers.append(decide(request, context))
        except (BusinessRefusal, CallerFault) as problem:
            answers.append(problem)
    return answers


def caller_of(contexts: Sequence[CallContext]) -> Owner:
    """The account and environment that the calls have in common."""
    callers = {Owner.of(context) for context in contexts}
    assert len(callers) == 1, "calls that run together are of one account and environment"
    return callers.pop()


def latest(contexts: Sequence[CallContext]) -> datetime:
    """The moment of the last of the calls: what has expired by then is free for all of them."""
    return max(context.occurred_at for context in contexts)


def bad_field(pointer: str, rule: str, detail: str) -> CallerFault:
    """What the caller must correct, and where."""
    return CallerFault("invalid-input", f"{pointer}: {detail}.", errors=(FieldError(pointer, rule, detail),))
