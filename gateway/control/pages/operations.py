"""The operations of a contract as people read them: everything here comes from the OpenAPI document."""

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from catalog.vocabulary.period import Period
from catalog.vocabulary.problem import PROBLEMS
from gateway.control.contracts.refusals import ALWAYS, PROBLEM_MEDIA_TYPE
from gateway.control.endpoint import JSON, MEDIA_TYPES, MONTH_OVER, MONTH_RUNNING
from gateway.control.pages.fields import FieldRow, field_rows, parameter_rows
from gateway.control.pages.phrases import Phrases

_KEY = "$ORDERGATE_KEY"
# Linux makes one for whoever reads this; `uuidgen` is a package that a small installation does not have.
_NEW_UUID = "$(cat /proc/sys/kernel/random/uuid)"
_MONTHS = re.compile(f"{MONTH_OVER}|{MONTH_RUNNING}")
# A moment, or the number of something that happened on a day. A shell puts the time of the request in its place, for
# whoever reads the page may have been subscribed since yesterday, and what was reported once is a duplicate.
_MOMENTS = re.compile(rf"{MONTH_OVER}-\d\d(?:(T[\d:]+Z)|-\d+)")
_NOW = """'"$(date -u +%Y-%m-%dT%H:%M:%SZ)"'"""
_NUMBER_NOW = """'"$(date -u +%Y-%m-%d-%H%M%S)"'"""
# What a reader's installation has too; all else in an address is somebody's own.
_KNOWN_VALUES = ("service", "period")
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_LINE_MAX = 60
Document = Mapping[str, Any]


class ProblemLink(msgspec.Struct, frozen=True):
    """A problem by name, status and title."""

    name: str
    status: int
    title: str


class ExampleView(msgspec.Struct, frozen=True):
    """A request as a command for a terminal, and what its reply contains."""

    name: str
    curl: str
    reply: str


class OperationView(msgspec.Struct, frozen=True):
    """One operation."""

    id: str
    anchor: str
    path: str
    summary: str
    facts: tuple[str, ...]
    request: tuple[FieldRow, ...]
    reply: tuple[FieldRow, ...]
    examples: tuple[ExampleView, ...]
    problems: tuple[ProblemLink, ...]


class EndpointView(msgspec.Struct, frozen=True):
    """One route of the control plane."""

    anchor: str
    method: str
    path: str
    summary: str
    facts: tuple[str, ...]
    parameters: tuple[FieldRow, ...]
    request: tuple[FieldRow, ...]
    reply: tuple[FieldRow, ...]
    curl: str
    batch: tuple[str, str] | None
    problems: tuple[ProblemLink, ...]


def operation_views(document: Document, phrases: Phrases, base_url: str) -> tuple[OperationView, ...]:
    """The metered operations of a contract, in its order; `base_url` is where the reader reaches this server."""
    return tuple(
        _operation(document, path, methods["post"], phrases, base_url)
        for path, methods in document["paths"].items()
        if _is_metered(path)
    )


def endpoint_views(
    document: Document, phrases: Phrases, base_url: str, running: Period
) -> tuple[EndpointView, ...]:
    """The control plane's routes of a contract, in its order; examples speak of the month that is `running`."""
    return tuple(
        _endpoint(document, method.upper(), path, operation, phrases, base_url, running)
        for path, methods in document["paths"].items()
        if not _is_metered(path)
        for method, operation in methods.items()
    )


def header_views(document: Document, phrases: Phrases) -> tuple[tuple[str, str], ...]:
    """The contract's reply headers, each with what it means."""
    return tuple(
        (
            name,
            header["x-ordergate"]["description"]["zh-CN"]
            if phrases.language == "zh-CN"
            else header["description"],
        )
        for name, header in document["components"]["headers"].items()
    )


def problem_links(names: Iterator[str] | tuple[str, ...], phrases: Phrases) -> tuple[ProblemLink, ...]:
    """The problems of these names."""
    kinds = [PROBLEMS[name] for name in names]
    return tuple(ProblemLink(kind.name, kind.status, phrases.of(kind.title)) for kind in kinds)


def common_problems(phrases: Phrases) -> tuple[ProblemLink, ...]:
    """What any call can end in."""
    return problem_links(ALWAYS, phrases)


def _is_metered(path: str) -> bool:
    return path.startswith("/v")


def _summary(operation: Mapping[str, Any], phrases: Phrases) -> str:
    chinese: str = operation["x-ordergate"]["summary"]["zh-CN"]
    return chinese if phrases.language == "zh-CN" else str(operation["summary"])


def _operation(
    document: Document, path: str, operation: Mapping[str, Any], phrases: Phrases, base_url: str
) -> OperationView:
    terms = operation["x-ordergate"]
    request = operation["requestBody"]["content"][JSON]["schema"]
    reply = operation["responses"]["200"]["content"][JSON]["schema"]
    own = (name for name in _problem_names(document, operation) if name not in ALWAYS)
    return OperationView(
        id=terms["id"],
        anchor=terms["id"].replace("/", "-"),
        path=path,
        summary=_summary(operation, phrases),
        facts=tuple(_facts(terms, phrases)),
        request=field_rows(document, request, phrases),
        reply=field_rows(document, reply, phrases),
        examples=tuple(
            ExampleView(
                example["name"][phrases.language],
                curl_command(base_url + path, example["request"], keyed=terms["idempotency"] == "required"),
                _pretty(example["reply_includes"]) if example["reply_includes"] else "",
            )
            for example in terms["examples"]
        ),
        problems=problem_links(tuple(own), phrases),
    )


def _endpoint(
    document: Document,
    method: str,
    path: str,
    operation: Mapping[str, Any],
    phrases: Phrases,
    base_url: str,
    running: Period,
) -> EndpointView:
    bodies: Mapping[str, Any] = operation.get("requestBody", {}).get("content", {})
    media_type = next(iter(bodies), JSON)
    body = bodies.get(media_type, {})
    parameters = operation.get("parameters", ())
    (reply,) = (one["content"] for one in operation["responses"].values() if "content" in one)
    (scopes,) = operation["security"][0].values()
    facts = (
        [phrases("credential_scopes", scopes=", ".join(f"`{one}`" for one in scopes))]
        if scopes
        else [phrases("credential_any")]
    )
    if files := [f"`{form}`" for form, type_ in MEDIA_TYPES.items() if type_ in reply]:
        facts.append(phrases("also_files", forms=", ".join(files)))
    if any(one["schema"].get("type") == "array" for one in bodies.values()):
        facts.append(phrases("answered_each"))
    if media_type != JSON:
        facts.append(phrases("content_types", types=phrases("or").join(f"`{one}`" for one in bodies)))
    values = _path_values(document, parameters)
    facts += [phrases("own_id", id=value) for name, value in values.items() if name not in _KNOWN_VALUES]
    url = base_url + _PLACEHOLDER.sub(lambda found: values[found[1]], path)
    return EndpointView(
        anchor=f"api-{operation['operationId'].replace('_', '-')}",
        method=method,
        path=path,
        summary=_summary(operation, phrases),
        facts=tuple(facts),
        parameters=parameter_rows(parameters, phrases),
        request=field_rows(document, body["schema"], phrases) if body else (),
        reply=field_rows(document, reply[JSON]["schema"], phrases),
        curl=_up_to_date(api_command(method, url, media_type, body.get("example")), running),
        batch=_batch(bodies, running),
        problems=problem_links(tuple(_problem_names(document, operation)), phrases),
    )


def _batch(bodies: Mapping[str, Any], running: Period) -> tuple[str, str] | None:
    """The Content-Type of several requests in one body, and such a body; None where there is none."""
    for media_type, body in bodies.items():
        if body["schema"].get("type") == "array":
            return media_type, _in_months(_pretty(body["example"]), running)
    return None


def _path_values(document: Document, parameters: Iterable[Mapping[str, Any]]) -> Mapping[str, str]:
    """What stands in an example's address: a service that is on sale, else the contract's own example."""
    values = {one["name"]: one["schema"]["examples"][0] for one in parameters if one["in"] == "path"}
    services = [path.split("/")[2] for path in document["paths"] if _is_metered(path)]
    if services and values.get("service", services[0]) not in services:
        values["service"] = services[0]
    return values


def _up_to_date(command: str, running: Period) -> str:
    """An example about now, the last whole month and the running one, whichever moments the contract's speaks of."""
    return _in_months(_MOMENTS.sub(lambda found: _NOW if found[1] else _NUMBER_NOW, command), running)


def _in_months(example: str, running: Period) -> str:
    months = {MONTH_OVER: str(running.previous()), MONTH_RUNNING: str(running)}
    return _MONTHS.sub(lambda found: months[found[0]], example)


def _problem_names(document: Document, operation: Mapping[str, Any]) -> Iterator[str]:
    for response in operation["responses"].values():
        if "$ref" in response:
            shared = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
            narrowed = shared["content"][PROBLEM_MEDIA_TYPE]["schema"]["allOf"][1]
            yield from (uri.rpartition("/")[2] for uri in narrowed["properties"]["type"]["enum"])


def _facts(terms: Mapping[str, Any], phrases: Phrases) -> Iterator[str]:
    yield phrases(f"effect_{terms['effect']}")
    if terms["idempotency"] != "not_needed":
        yield phrases(f"idempotency_{terms['idempotency']}")
    meter = dict(terms["meter"])
    dimensions = meter.pop("dimensions", {})
    ((kind, pointer),) = meter.items()
    yield phrases("meter_call") if kind == "unit" else phrases(f"meter_{kind}", pointer=pointer)
    if dimensions:
        yield phrases("meter_dimensions", names=", ".join(dimensions))
    yield phrases("deadline", ms=f"{terms['deadline_ms']:,}")
    yield phrases("body_max", bytes=f"{terms['max_body_bytes']:,}")
    if terms["personal_data"]:
        yield phrases("personal_data", fields=", ".join(terms["personal_data"]))


def api_command(method: str, url: str, media_type: str, body: Mapping[str, Any] | None) -> str:
    """A request to the control plane for a POSIX shell."""
    lines = [f"curl {'' if method == 'GET' else f'-X {method} '}{shlex.quote(url)}"]
    lines.append(f'-H "Authorization: Bearer {_KEY}"')
    if body is not None:
        lines += [f"-H 'Content-Type: {media_type}'", _data(body)]
    return " \\\n  ".join(lines)


def curl_command(url: str, body: Mapping[str, Any], *, keyed: bool) -> str:
    """A call for a POSIX shell; the key comes from the environment, so that it is not copied around with the command."""
    lines = [
        f"curl -i {shlex.quote(url)}",
        f'-H "Authorization: Bearer {_KEY}"',
        f"-H 'Content-Type: {JSON}'",
    ]
    if keyed:
        lines.append(f'-H "Idempotency-Key: {_NEW_UUID}"')
    lines.append(_data(body))
    return " \\\n  ".join(lines)


def _data(body: Mapping[str, Any]) -> str:
    """The option that sends a body, on several lines where it is long."""
    text = msgspec.json.encode(body).decode()
    if len(text) > _LINE_MAX:
        text = _pretty(body).replace("\n", "\n  ")
    return f"-d {shlex.quote(text)}"


def _pretty(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
