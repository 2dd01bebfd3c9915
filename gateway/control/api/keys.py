"""/api/keys: the account's credentials. Only a key that may do everything manages keys."""

from typing import Annotated, Literal

import msgspec
from litestar import Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from catalog.accounts.account import Account, find_account
from catalog.accounts.application import Application, list_applications
from catalog.transaction import Transaction
from catalog.vocabulary.clock import from_ns, rfc3339
from catalog.vocabulary.described import described
from catalog.vocabulary.ids import Environment
from catalog.vocabulary.problem import Problem, Text
from gateway.control.answer import answer
from gateway.control.asking import ControlRequest, page_of, read_body, read_query, refused_parameter
from gateway.control.books import Books
from gateway.control.context import ControlContext
from gateway.control.endpoint import LIMIT, Endpoint, Parameter, after
from gateway.proofs import Caller
from gateway.stores.keys import ALL_SCOPES, KeyEntry, create_key, list_keys, public_id_of, revoke_key

_SHOWN = "og_test_3kTz8WqLr5Xb"


class KeyView(msgspec.Struct, frozen=True):
    """A key without its secret; `id` is how the key begins."""

    id: str
    application_id: str
    environment: Environment
    scopes: tuple[str, ...]
    label: str
    state: Literal["active", "revoked"]
    created_at: str
    revoked_at: str | None


class KeyList(msgspec.Struct, frozen=True):
    """Keys, oldest first, revoked ones included; `next` is the `after` of the following page, null on the last."""

    data: tuple[KeyView, ...]
    next: str | None


class NewKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the key may do. Without `application` and `environment` it gets those of the key that asks for it."""

    scopes: Annotated[
        tuple[str, ...],
        described(
            "Operations (`stock/reserve`), services (`stock/*`), or `*` for everything.",
            "操作（`stock/reserve`）、服务（`stock/*`），或 `*` 表示全部。",
            min_length=1,
            max_length=100,
        ),
    ]
    application: (
        Annotated[str, described("Id or name.", "编号或名称。", min_length=1, max_length=80)] | None
    ) = None
    environment: (
        Annotated[
            Environment, described("`live`, or `test` for the sandbox.", "`live`，或用于沙箱的 `test`。")
        ]
        | None
    ) = None
    label: Annotated[str, described("What the key is for, for people.", "密钥用途，供人阅读。")] = ""


class CreatedKey(msgspec.Struct, frozen=True):
    """The new key. `secret` is the credential itself; it is shown here and never again."""

    key: KeyView
    secret: str


@get("/api/keys", name="list_account_keys")
async def list_account_keys(
    request: ControlRequest, caller: NamedDependency[Caller], books: NamedDependency[Books]
) -> Response[bytes]:
    """The keys that the caller manages."""
    query = read_query(request, "limit", "after")
    _check_may_manage(caller)
    async with books.read(caller.account_id) as transaction:
        account = await find_account(transaction, caller.account_id)
        keys = await list_keys(transaction, account)
    managed = [key for key in keys if _manages(caller, key.environment)]
    if (last := query.get("after")) is not None:
        query = {**query, "after": public_id_of(last) or last}
    page = page_of([key.public_id for key in managed], query)
    data = tuple(_view(key) for key in managed[page.start : page.end])
    return answer(KeyList(data, data[-1].id if page.more else None))


@post("/api/keys", name="create_account_key")
async def create_account_key(
    request: ControlRequest,
    context: NamedDependency[ControlContext],
    caller: NamedDependency[Caller],
    books: NamedDependency[Books],
) -> Response[bytes]:
    """A new key, which works within a second."""
    read_query(request)
    _check_may_manage(caller)
    wanted = await read_body(request, NewKey)
    environment = wanted.environment or caller.environment
    if not _manages(caller, environment):
        raise Problem("forbidden", "A test key makes test keys; use a live key to make a live one.")
    async with books.write(caller.account_id) as transaction:
        account = await find_account(transaction, caller.account_id)
        entry, secret = await create_key(
            transaction,
            account,
            await _application(transaction, account, wanted.application or caller.application_id),
            environment,
            wanted.scopes,
            context.peppers,
            actor=_actor(caller),
            now=from_ns(context.clock.now_ns()),
            label=wanted.label,
        )
    return answer(CreatedKey(_view(entry), secret), 201)


@delete("/api/keys/{key_id:str}", name="revoke_account_key", status_code=200)
async def revoke_account_key(
    request: ControlRequest,
    context: NamedDependency[ControlContext],
    caller: NamedDependency[Caller],
    books: NamedDependency[Books],
    key_id: FromPath[str],
) -> Response[bytes]:
    """The key as it is from now on: refused everywhere within a second."""
    read_query(request)
    _check_may_manage(caller)
    now = from_ns(context.clock.now_ns())
    async with books.write(caller.account_id) as transaction:
        entry = await revoke_key(transaction, key_id, actor=_actor(caller), now=now)
        if not _manages(caller, entry.environment):
            raise Problem("not-found", "There is no such key among those that this key manages.")
    return answer(_view(entry))


async def _application(transaction: Transaction, account: Account, name_or_id: str) -> Application:
    for application in await list_applications(transaction, account):
        if name_or_id in (application.id, application.name):
            return application
    raise refused_parameter(
        "application", "reference", "name an application of the account; /api/account lists them"
    )


def _check_may_manage(caller: Caller) -> None:
    if "*" not in caller.scopes:
        raise Problem("forbidden", "Keys are managed with a key whose scope is *.")


def _manages(caller: Caller, environment: Environment) -> bool:
    """What happens in the sandbox must not reach the account's real business."""
    return caller.environment == "live" or environment == "test"


def _actor(caller: Caller) -> str:
    return f"key/{caller.key_id}"


def _view(entry: KeyEntry) -> KeyView:
    return KeyView(
        id=entry.shown,
        application_id=entry.application_id,
        environment=entry.environment,
        scopes=entry.scopes,
        label=entry.label,
        state="active" if entry.revoked_at is None else "revoked",
        created_at=rfc3339(entry.created_at),
        revoked_at=None if entry.revoked_at is None else rfc3339(entry.revoked_at),
    )


HANDLERS = (list_account_keys, create_account_key, revoke_account_key)
ENDPOINTS = (
    Endpoint(
        "list_keys",
        "GET",
        "/api/keys",
        Text("Your account's keys, without their secrets.", "您账户的密钥（不含密文）。"),
        KeyList,
        scopes=ALL_SCOPES,
        parameters=(LIMIT, after(_SHOWN)),
        problems=("invalid-input", "forbidden"),
    ),
    Endpoint(
        "create_key",
        "POST",
        "/api/keys",
        Text(
            "Make a key; its secret is in this reply and nowhere else.", "创建密钥；密文仅在本次回复中出现。"
        ),
        CreatedKey,
        request=NewKey,
        example={"scopes": ["address/*", "stock/reserve"], "label": "web shop"},
        scopes=ALL_SCOPES,
        problems=("forbidden",),
        status=201,
    ),
    Endpoint(
        "revoke_key",
        "DELETE",
        "/api/keys/{key_id}",
        Text("Revoke a key for ever.", "永久吊销密钥。"),
        KeyView,
        scopes=ALL_SCOPES,
        parameters=(
            Parameter(
                "key_id",
                "path",
                Text("The key's id, as lists show it.", "列表中显示的密钥编号。"),
                {"type": "string", "examples": [_SHOWN]},
            ),
        ),
        problems=("invalid-input", "forbidden", "not-found"),
    ),
)
