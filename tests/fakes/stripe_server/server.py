"""HTTP/1.1 on a loopback port, so that the product's own adapter talks to it as it would to Stripe."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import msgspec

from catalog.vocabulary.clock import Clock
from tests.fakes.stripe_server.errors import ApiError
from tests.fakes.stripe_server.faults import Faults
from tests.fakes.stripe_server.form import decode_form
from tests.fakes.stripe_server.idempotency import Answer, Idempotency
from tests.fakes.stripe_server.invoices import Invoices
from tests.fakes.stripe_server.payments import Payments
from tests.fakes.stripe_server.routes import Routes
from tests.fakes.stripe_server.store import Store
from tests.fakes.stripe_server.webhooks import Webhooks

API_KEY = "sk_test_fake0000000000000000key"
LIVE_KEY = "sk_live_fake0000000000000000key"
WEBHOOK_SECRET = "whsec_fake00000000000000000secret"
_FAILED = {"error": {"type": "api_error", "message": "Something went wrong at the server."}}
_BUSY = {"error": {"type": "invalid_request_error", "code": "rate_limit", "message": "Too many requests."}}


class FakeStripe:
    """One Stripe account behind one address. What only Stripe or a bank can cause is caused by its parts' methods."""

    def __init__(self, clock: Clock) -> None:
        """Nothing listens before `running_stripe`."""
        self.store = Store(clock)
        self.invoices = Invoices(self.store)
        self.payments = Payments(self.store, self.invoices)
        self.webhooks = Webhooks(self.store, WEBHOOK_SECRET)
        self.faults = Faults()
        self.idempotency = Idempotency()
        self.requests: list[str] = []
        self.address = ""
        self._routes = Routes(self.invoices, self.payments)
        self._meanwhile: list[tuple[str, Callable[[], object]]] = []
        self._connections: set[asyncio.StreamWriter] = set()

    def before(self, requests: str, happens: Callable[[], object]) -> None:
        """Just before the next request that matches, such as `POST /v1/credit_notes$`, something happens; in turn."""
        self._meanwhile.append((requests, happens))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: requests in turn until either side ends it."""
        self._connections.add(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while await self._exchange(reader, writer):
                pass
        self._connections.remove(writer)
        writer.close()

    async def close(self) -> None:
        """End every connection."""
        for writer in tuple(self._connections):
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        path = urlsplit(target).path
        self.requests.append(f"{method} {path}")
        fault = self.faults.meet(f"{method} {path}")
        if fault == "reset":
            writer.transport.abort()
            return False
        form = urlsplit(target).query if method in ("GET", "DELETE") else body.decode()
        if fault == "busy":
            answer, replayed = Answer(429, _BUSY), False
        else:
            answer, replayed = self._answer(method, path, form, headers, fault)
        if fault == "lost":
            writer.transport.abort()
            return False
        content = b'{"object": 7}' if fault == "garbled" else msgspec.json.encode(answer.body)
        writer.write(
            f"HTTP/1.1 {answer.status} Answer\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(content)}\r\nRequest-Id: req_{len(self.requests)}\r\n"
            f"{'Idempotent-Replayed: true' + chr(13) + chr(10) if replayed else ''}\r\n".encode()
            + content
        )
        await writer.drain()
        return True

    def _answer(
        self, method: str, path: str, form: str, headers: Mapping[str, str], fault: str | None
    ) -> tuple[Answer, bool]:
        key = headers.get("idempotency-key") if method == "POST" else None
        request = (method, path, form)
        try:
            presented = headers.get("authorization", "").removeprefix("Bearer ")
            if presented != (LIVE_KEY if self.store.livemode else API_KEY):
                raise ApiError(401, f"Invalid API Key provided: {presented}")
            self._happen(f"{method} {path}")
            earlier = self.idempotency.earlier(key, request)
            if earlier is not None:
                return earlier, True
            if fault == "failed":
                raise ApiError(500, "Something went wrong at the server.", type_="api_error", stored=True)
            answer = Answer(200, self._routes.call(method, path, decode_form(form)))
            if fault == "failed_after":
                answer = Answer(500, _FAILED)
        except ApiError as error:
            answer = Answer(error.status, error.body)
            if not error.stored:
                return answer, False
        except ValueError as error:
            return Answer(400, {"error": {"type": "invalid_request_error", "message": str(error)}}), False
        self.idempotency.keep(key, request, answer)
        return answer, False

    def _happen(self, request: str) -> None:
        for planned in self._meanwhile:
            if re.search(planned[0], request):
                self._meanwhile.remove(planned)
                planned[1]()
                return


@asynccontextmanager
async def running_stripe(clock: Clock) -> AsyncIterator[FakeStripe]:
    """A fake that listens, in the test's own event loop."""
    fake = FakeStripe(clock)
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    fake.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield fake
    finally:
        server.close()
        await fake.close()
