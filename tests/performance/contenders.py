"""Who is measured: our gateway, Envoy and nginx with Lua, each on the same core with the same policies."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tests.performance.installation import Installation, worker
from tests.performance.load import INSTALL, call_once, call_once_with
from tests.performance.servers import cpu_ns, family, free_port, running
from tests.performance.templates import write_filled

_LUA_MODULE = Path("/usr/lib/nginx/modules/ngx_http_lua_module.so")
_ENVOY = Path(__file__).parents[2] / ".tools" / "bench" / "bin" / "envoy"

OURS = "ordergate bench/echo"
OURS_ADDRESS = "ordergate address/validate"
ENVOY = "envoy, proxied hop"
ENVOY_DIRECT = "envoy, no hop"
NGINX = "nginx+Lua, proxied hop"
NGINX_DIRECT = "nginx+Lua, no hop"


class Contender(msgspec.Struct, frozen=True):
    """A server to measure: where it is called, with which key, and the processes whose CPU is its own."""

    name: str
    port: int
    path: str
    key: str
    pids: tuple[int, ...]
    answer: tuple[str, str] = ("normalized", "10115")

    @property
    def address(self) -> str:
        """The URL of the one call."""
        return f"http://127.0.0.1:{self.port}{self.path}"

    def cpu_ns(self) -> int:
        """CPU used so far by everything that works on its calls."""
        return sum(map(cpu_ns, self.pids))


class NotEqual(Exception):
    """A contender does not do what the others do, so that comparing it would mean nothing."""


@contextmanager
def ours(installation: Installation, folder: Path) -> Iterator[list[Contender]]:
    """Our gateway: one real worker, all stages on, each call on disk before it is answered."""
    with worker(installation, folder / "gateway.log") as (pid, port):
        yield [
            Contender(OURS, port, "/v1/bench/echo", installation.key, (pid,)),
            Contender(
                OURS_ADDRESS, port, "/v1/address/validate", installation.key, (pid,), ("verdict", "valid")
            ),
        ]


def missing_peers() -> dict[str, str]:
    """The peers that cannot be measured on this machine, and what to do about it."""
    missing: dict[str, str] = {}
    if shutil.which("nginx", path="/usr/sbin:/usr/bin") is None or not _LUA_MODULE.exists():
        missing |= dict.fromkeys((NGINX, NGINX_DIRECT, ENVOY, ENVOY_DIRECT), INSTALL)
    if not _ENVOY.exists():
        missing |= dict.fromkeys(
            (ENVOY, ENVOY_DIRECT), "run `make bench`, which installs it into .tools/bench"
        )
    return missing


@contextmanager
def nginx(key: str, folder: Path) -> Iterator[tuple[list[Contender], int, tuple[int, ...]]]:
    """nginx with and without a hop; yields also the port of its upstream and its processes, for Envoy."""
    port, upstream = free_port(), free_port()
    values = {
        "DIR": folder,
        "KEY": key,
        "MODULES": _LUA_MODULE.parent,
        "PORT": port,
        "UPSTREAM_PORT": upstream,
    }
    configuration = write_filled("nginx.conf", folder, values)
    command = ["/usr/sbin/nginx", "-p", str(folder), "-c", str(configuration)]
    with running(command, port=port, log=folder / "nginx.log") as pid:
        pids = family(pid)
        contenders = [
            Contender(NGINX, port, "/proxied/echo", key, pids),
            Contender(NGINX_DIRECT, port, "/direct/echo", key, pids),
        ]
        yield contenders, upstream, pids


@contextmanager
def envoy(key: str, folder: Path, upstream: int, upstream_pids: tuple[int, ...]) -> Iterator[list[Contender]]:
    """Envoy in front of nginx's upstream, whose CPU counts with it, and Envoy answering by itself."""
    port, direct_port = free_port(), free_port()
    values = {
        "DIR": folder,
        "KEY": key,
        "PORT": port,
        "DIRECT_PORT": direct_port,
        "UPSTREAM_PORT": upstream,
    }
    configuration = write_filled("envoy.yaml", folder, values)
    command = [
        str(_ENVOY),
        "-c",
        str(configuration),
        "--concurrency",
        "1",
        "--log-level",
        "error",
        "--use-dynamic-base-id",
    ]
    with running(command, port=port, log=folder / "envoy.log") as pid:
        pids = family(pid)
        yield [
            Contender(ENVOY, port, "/", key, (*pids, *upstream_pids)),
            Contender(ENVOY_DIRECT, direct_port, "/", key, pids),
        ]


def check_equal(contender: Contender) -> None:
    """The right answer with the key, none without it and none to what is no JSON, or `NotEqual`."""
    status, body = call_once(contender.port, contender.path, contender.key)
    field, value = contender.answer
    if status != 200 or json.loads(body)[field] != value:
        raise NotEqual(f"{contender.name} answered {status}: {body[:300]!r}")
    status, _ = call_once(contender.port, contender.path, contender.key[::-1])
    if status != 401:
        raise NotEqual(f"{contender.name} answered {status} to a wrong key")
    status, _ = call_once_with(contender.port, contender.path, contender.key, b'{"postal_code":')
    if status < 400:
        raise NotEqual(f"{contender.name} answered {status} to half a document")
