"""`ordergate call`."""

import http.client
import json
import re
import secrets
import sys
from typing import Any
from urllib.parse import urlsplit

import click
import msgspec

from atomic_services.registry import built_in_passport
from catalog.passport import OperationEntry
from deploy.cli.output import json_option, print_json
from deploy.cli.session import Session, session
from deploy.demo.keys import read_keys

_TIMEOUT_S = 130
_OPERATION = re.compile(r"[a-z0-9-]+/[a-z0-9-]+")
# What a header can carry.
_VISIBLE = re.compile(r"[!-~]+")


class Answer(msgspec.Struct, frozen=True):
    """What came back: the status, what the call cost and the reply or the problem document. `idempotency_key` is the one
    that was sent, null where none was: sent again with the same body it gives this reply again."""

    status: int
    call_id: str | None
    units: str | None
    charge: str | None
    reply: Any
    idempotency_key: str | None = None
    replayed: bool = False


@click.command()
@click.argument("operation", metavar="SERVICE/OPERATION")
@click.argument("body", metavar="[JSON]", default="{}")
@click.option("--key", help="The API key; ORDERGATE_KEY, or else the installation's demo key by default.")
@click.option(
    "--address", help="Another server, such as https://orders.example; this installation by default."
)
@click.option("--idempotency-key", help="Made up where the operation takes one and none is given.")
@json_option
def call(
    operation: str,
    body: str,
    key: str | None,
    address: str | None,
    idempotency_key: str | None,
    as_json: bool,
) -> None:
    """One call, pretty-printed with its charge and the Idempotency-Key it used. `-` reads the JSON from stdin; exit status 1 if it was refused."""
    if not _OPERATION.fullmatch(operation):
        raise click.UsageError("write SERVICE/OPERATION, such as address/validate")
    service, _, name = operation.partition("/")
    text = sys.stdin.read() if body == "-" else body
    try:
        json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"the body is not JSON: {error}") from None
    current = session()
    given = key or current.settings.key
    for what, value in (("key", given), ("idempotency key", idempotency_key)):
        if value and not _VISIBLE.fullmatch(value):
            raise click.UsageError(f"the {what} is one word of visible ASCII characters; copy it again")
    # First of all that there is a server: where nothing is installed a key would be of no use.
    server = address or _address(current)
    credential = given or _demo_key(current)
    passport = built_in_passport(service)
    headers = {
        "Authorization": f"Bearer {credential}",
        "Content-Type": "application/json",
        "Accept": "application/json",
    }
    if idempotency_key or _takes_idempotency_key(passport.operation(name) if passport else None):
        headers["Idempotency-Key"] = idempotency_key or secrets.token_hex(16)
    path = f"/v{passport.major if passport else 1}/{operation}"
    answer = _post(server, path, text.encode(), headers)
    if as_json:
        print_json(answer)
    else:
        _print(answer)
    if answer.status >= 400:
        sys.exit(1)


def _takes_idempotency_key(entry: OperationEntry | None) -> bool:
    return entry is not None and entry.idempotency != "not_needed"


def _demo_key(current: Session) -> str:
    for kept in read_keys(current.settings.home):
        if kept.environment == "live":
            return kept.key
    raise click.ClickException(
        "There is no key to call with. Make one with `ordergate key create ACCOUNT` and give it with --key or ORDERGATE_KEY."
    )


def _address(current: Session) -> str:
    running = current.settings.home.running()
    if running is None:
        raise click.ClickException(
            f"Nothing serves {current.settings.home_path}. Start it with `ordergate up`, set ORDERGATE_HOME to the "
            "installation that is served, or name a server with --address."
        )
    return running.address


def _post(address: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        raise click.UsageError(f"the address {address!r} cannot be read: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise click.UsageError("an address begins with http:// or https:// and names a host")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, port, timeout=_TIMEOUT_S)
    try:
        connection.request("POST", parts.path.rstrip("/") + path, body, headers)
        response = connection.getresponse()
        content = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise click.ClickException(
            f"{address} does not answer: {error}. Is `ordergate up` running there?"
        ) from error
    finally:
        connection.close()
    try:
        reply = msgspec.json.decode(content)
    except msgspec.DecodeError:
        reply = content.decode("utf-8", "replace")
    return Answer(
        response.status,
        response.getheader("Ordergate-Call-Id"),
        response.getheader("Ordergate-Units"),
        response.getheader("Ordergate-Charge"),
        reply,
        headers.get("Idempotency-Key"),
        response.getheader("Idempotent-Replayed") == "true",
    )


def _print(answer: Answer) -> None:
    if answer.status < 400:
        print_json(answer.reply)
    else:
        click.echo(f"Error: {_problem(answer)}", err=True)
    if answer.charge is not None:
        click.echo(f"charge {answer.charge}, units {answer.units}, {answer.call_id}", err=True)
    if answer.idempotency_key is not None:
        replayed = "; this is the reply that was kept under it" if answer.replayed else ""
        click.echo(f"Idempotency-Key {answer.idempotency_key}{replayed}", err=True)


def _problem(answer: Answer) -> str:
    """The problem document as one paragraph."""
    if not isinstance(answer.reply, dict):
        return f"status {answer.status}: {answer.reply}"
    title, detail = answer.reply.get("title", ""), answer.reply.get("detail", "")
    # Where fields are named, each says what to do about it.
    errors = answer.reply.get("errors") or ()
    if len(errors) > 1:
        omitted = answer.reply.get("errors_omitted", 0)
        lines = [f"  {one['pointer'] or 'the body'}: {one['detail']}" for one in errors]
        lines += [f"  and {omitted} more"] if omitted else []
        return "\n".join([f"{answer.status} {title}:", *lines])
    remedy = "" if errors else f" {answer.reply.get('remedy', '')}"
    return f"{answer.status} {title}: {detail}{remedy}"
