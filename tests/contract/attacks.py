"""Requests that a caller should not send, and good ones among them: wrong values, wrong bytes, wrong heads."""

import json
import re
from copy import deepcopy
from hashlib import sha256
from typing import Any

import msgspec
from hypothesis import strategies as st

from atomic_services import registry
from tests.contract.shapes import field_names, values_of

# Stands for the credential in generated headers; the strategies do not know it.
KEY = b"{key}"
_BASE = (
    (b"host", b"localhost"),
    (b"authorization", b"Bearer " + KEY),
    (b"content-type", b"application/json"),
)


class Attack(msgspec.Struct, frozen=True):
    """One request. `operation` is whose types its body was made from; `well_formed` says that nothing was broken."""

    operation: str
    method: str
    path: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    well_formed: bool


class _Token(str):
    """Text that goes into the body as it is: what no JSON value stands for."""

    __slots__ = ()


_TOKENS = tuple(
    map(
        _Token,
        ("NaN", "-Infinity", "01", "+1", "-", "1e5", "1.0", "-0", "1e400", "1e9999999999999999999999",
         "-0e-9999999999999999999999", "0." + "3" * 70, "9" * 5000, '"\\u0000"', '"\\ud800"', '"\\udc00\\ud800"',
         '"\\x41"', "'a'", "", "[" * 40 + "]" * 40, '{"a":' * 33 + "1" + "}" * 33, "truex", "/**/1", "\x00", '"\ttab"'),
    )
)  # fmt: skip
_NUMBERS = (0, -1, 1, 2**31 - 1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 2**64, 10**30)
_JUNK: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(_TOKENS),
    st.sampled_from(_NUMBERS),
    st.sampled_from(
        (None, True, False, "", " ", [], {}, [[]], [None], {"": {}}, "\ud800", "x" * 70_000, [0] * 2_000)
    ),
    st.text(max_size=20),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=6,
    ),
)
_NAMES = st.text(max_size=12) | st.sampled_from(
    ("", "a/b~c", "$", "__proto__", "missing required field", "a`b", "account_id", "price", "\ud800", "k" * 9_000)
)  # fmt: skip
_BYTES = st.binary(max_size=12) | st.sampled_from(
    (b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b'"', b"\\", b"{", b"}", b"[" * 300, b",", b"\\u0000",
     b"\\ud800", b"NaN", b"1e99999999999999999999", b"/*", b"\r\n\r\n", b" " * 70_000)
)  # fmt: skip


def good(operation: str, **fields: Any) -> Attack:
    """A request that nothing is wrong with, under an idempotency key of its own."""
    body = json.dumps(fields).encode()
    key = (b"idempotency-key", sha256(body).hexdigest().encode())
    return Attack(operation, "POST", b"/v1/" + operation.encode(), (*_BASE, key), body, well_formed=True)


@st.composite
def _broken_value(draw: st.DrawFn, good: st.SearchStrategy[dict[str, Any]]) -> Any:
    """A good object after one to three of: another value, a field less, a field more, a list that repeats itself."""
    root: Any = {"": deepcopy(draw(good))}
    for _ in range(draw(st.integers(1, 3))):
        holder, key = draw(st.sampled_from(_places(root)))
        change = draw(st.sampled_from(("replace", "replace", "remove", "add", "repeat")))
        value = holder[key]
        if change == "remove" and holder is not root:
            del holder[key]
        elif change == "add" and isinstance(value, dict):
            value[draw(_NAMES)] = deepcopy(draw(_JUNK))
        elif change == "repeat" and isinstance(value, (list, str)) and not isinstance(value, _Token):
            holder[key] = value * draw(st.sampled_from((2, 9, 101)))
        else:
            holder[key] = deepcopy(draw(_JUNK))
    return root[""]


def _places(root: dict[str, Any]) -> list[tuple[Any, Any]]:
    """Where a value can be exchanged: (container, key), outermost first."""
    places: list[tuple[Any, Any]] = []
    pending: list[Any] = [root]
    while pending:
        holder = pending.pop()
        keys = range(len(holder)) if isinstance(holder, list) else list(holder)
        places += [(holder, key) for key in keys]
        pending += [holder[key] for key in keys if isinstance(holder[key], (dict, list))]
    return places[:60]


def _written(value: Any, ascii_only: bool) -> str:
    if isinstance(value, _Token):
        return str(value)
    if isinstance(value, dict):
        members = (
            json.dumps(name, ensure_ascii=ascii_only) + ":" + _written(one, ascii_only)
            for name, one in value.items()
        )
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_written(one, ascii_only) for one in value) + "]"
    return json.dumps(value, ensure_ascii=ascii_only)


def _encoded(value: Any, ascii_only: bool) -> bytes:
    return _written(value, ascii_only).encode("utf-8", "surrogatepass")


@st.composite
def _broken_bytes(draw: st.DrawFn, good: bytes, names: tuple[str, ...]) -> bytes:
    """A good body after one to three changes of its bytes; a repeated member is one of them."""
    body = good
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(body)))
        end = draw(st.integers(start, min(len(body), start + 8)))
        change = draw(st.sampled_from(("insert", "cut", "overwrite", "truncate", "double", "member")))
        if change == "insert":
            body = body[:start] + draw(_BYTES) + body[start:]
        elif change == "cut":
            body = body[:start] + body[end:]
        elif change == "overwrite":
            body = body[:start] + draw(_BYTES) + body[end:]
        elif change == "truncate":
            body = body[:start]
        elif change == "double":
            body = body[:end] + body[start:]
        else:
            body = body.replace(b"{", b'{"%s":null,' % draw(st.sampled_from(names)).encode(), 1)
    return body


_IDEMPOTENCY = st.none() | st.sampled_from((b"k1", b"k2", b'"k3"')) | st.from_regex(rb"\A[!#-~]{1,40}\Z")
_VALUES = st.binary(max_size=20).map(lambda raw: re.sub(rb"[\r\n]", b"", raw))
_EXTRA: st.SearchStrategy[tuple[tuple[bytes, bytes], ...]] = st.one_of(
    st.sampled_from(
        tuple(
            (pair,)
            for pair in (
                (b"content-encoding", b"gzip"), (b"x_account", b"acct_b"), (b"idempotency-key", b""),
                (b"idempotency-key", b"a" * 256), (b"idempotency-key", b"\xff"), (b"idempotency-key", b"a b"),
                (b"host", b"other"), (b"authorization", b"Bearer " + KEY), (b"content-type", b"application/json"),
                (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), (b"traceparent", b"\xff\xff"),
                (b"tracestate", b"a=" + b"b" * 2000), (b"baggage", b"k=v"), (b"x-http-method-override", b"DELETE"),
                (b"x-forwarded-for", b"127.0.0.1"), (b"cookie", b"a" * 8000), (b"expect", b"nothing"), (b"range", b"bytes=0-"),
                (b"x-large", b"a" * 20_000), (b"te", b"trailers"), (b"accept", b"application/xml"),
            )
        )
    ),
    st.integers(30, 90).map(lambda count: tuple((b"x-%d" % number, b"1") for number in range(count))),
    st.tuples(st.tuples(st.sampled_from((b"x-odd", b"idempotency-key", b"traceparent")), _VALUES)),
)  # fmt: skip
_CREDENTIALS = st.one_of(
    st.sampled_from(
        (b"Basic eDp5", b"Digest " + KEY, b"bearer " + KEY, b"BEARER " + KEY, b"Bearer  " + KEY, b"Bearer " + KEY + b" ", KEY,
         b"Bearer", b"Bearer ", b"", b"Bearer " + KEY + b"," + KEY, b"Token " + KEY, b"Bearer " + KEY[::-1], b"Bearer " + b"A" * 9000)
    ),
    _VALUES.map(lambda value: b"Bearer " + value),
    _VALUES.map(lambda value: b"Bearer " + KEY + value),
)  # fmt: skip
_TYPES = st.sampled_from(
    (b"", b"text/plain", b"application/json; charset=utf-8", b'APPLICATION/JSON;charset="UTF-8"', b"application/json; charset=gbk",
     b"application/json, text/plain", b"application/x-www-form-urlencoded", b"multipart/form-data", b"application/jsonx", b"\xff")
)  # fmt: skip


@st.composite
def _broken_head(draw: st.DrawFn, attack: Attack) -> Attack:
    """A good request after one to three changes of its method, path and header fields."""
    method, path, headers = attack.method, attack.path, list(attack.headers)
    for _ in range(draw(st.integers(1, 3))):
        match draw(
            st.sampled_from(("extra", "extra", "drop", "credential", "type", "method", "path", "order"))
        ):
            case "extra":
                headers += draw(_EXTRA)
            case "drop" if headers:
                del headers[draw(st.integers(0, len(headers) - 1))]
            case "credential":
                headers = _with(headers, b"authorization", draw(_CREDENTIALS))
            case "type":
                headers = _with(headers, b"content-type", draw(_TYPES))
            case "method":
                method = draw(st.sampled_from(("GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE")))
            case "path":
                path = draw(_paths(path))
            case _:
                headers = draw(st.permutations(headers))
    return msgspec.structs.replace(
        attack, method=method, path=path, headers=tuple(headers), well_formed=False
    )


def _with(headers: list[tuple[bytes, bytes]], name: bytes, value: bytes) -> list[tuple[bytes, bytes]]:
    return [(one, value if one == name else old) for one, old in headers]


def _paths(path: bytes) -> st.SearchStrategy[bytes]:
    written = (path + b"/", path + b"?", path + b"?key=1", b"/" + path, path.upper(), path + b"%00", path + b"/../x",
               path.replace(b"/v1", b"/v2"), path.replace(b"/v1", b"/v99999"), b"/v1/no/such", b"/v1//", b"/v1/" + b"a" * 3000,
               path + b"\xff", b"/v1/stock/*", path + b";x", path + b"#x")  # fmt: skip
    return st.sampled_from(written)


def attacks(service: str | None = None) -> st.SearchStrategy[Attack]:
    """A request to any operation, or to those of one service: about a third of them are good."""
    names = [name for name in registry.operations() if service in (None, name.partition("/")[0])]
    return st.sampled_from(names).flatmap(_attack_on)


@st.composite
def one_of_each(draw: st.DrawFn) -> list[Attack]:
    """A request to every operation, in any order."""
    return [draw(_attack_on(name)) for name in draw(st.permutations(sorted(registry.operations())))]


@st.composite
def _attack_on(draw: st.DrawFn, name: str) -> Attack:
    request = registry.operations()[name].request
    good = values_of(request)
    ascii_only = draw(st.booleans())
    key = draw(_IDEMPOTENCY)
    headers = _BASE if key is None else (*_BASE, (b"idempotency-key", key))
    whole = Attack(name, "POST", b"/v1/" + name.encode(), headers, b"", well_formed=key is not None)
    replace = msgspec.structs.replace
    match draw(st.sampled_from(("good", "good", "good", "value", "value", "value", "bytes", "head"))):
        case "good":
            return replace(whole, body=_encoded(draw(good), ascii_only))
        case "value":
            return replace(whole, body=_encoded(draw(_broken_value(good)), ascii_only), well_formed=False)
        case "bytes":
            body = draw(_broken_bytes(_encoded(draw(good), ascii_only), field_names(request)))
            return replace(whole, body=body, well_formed=False)
        case _:
            return draw(_broken_head(replace(whole, body=_encoded(draw(good), ascii_only))))
