"""Server processes of a benchmark: pinned to a core, accounted by the kernel, ended by their id."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

SERVER_CORE = 0
_START_S = 30.0
_STOP_S = 20.0


class ServerFailed(Exception):
    """A server did not start; the message has the end of what it wrote."""


def on_core(core: int) -> Callable[[], None]:
    """For `preexec_fn`: the process and all it starts stay on one core."""
    return lambda: os.sched_setaffinity(0, {core})


def cpu_ns(pid: int) -> int:
    """Nanoseconds of CPU that a process has used, in all of its threads, user and kernel.

    The clock's number is what clock_getcpuclockid(3) answers on Linux; the kernel keeps it to the nanosecond, where
    /proc/PID/stat counts hundredths of seconds.
    """
    return time.clock_gettime_ns((~pid << 3) | 2)


def family(pid: int) -> tuple[int, ...]:
    """A process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    return pid, *map(int, children)


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def running(
    command: Sequence[str],
    *,
    port: int,
    log: Path,
    environment: Mapping[str, str] | None = None,
    descriptors: Sequence[int] = (),
    is_ready: Callable[[int], bool] | None = None,
) -> Iterator[int]:
    """A server on the measured core for the duration of the block; yields its process id once it is ready."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            env=None if environment is None else dict(environment),
            pass_fds=descriptors,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=on_core(SERVER_CORE),
        )
    try:
        _wait(process, port, log, is_ready or _accepts)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: "subprocess.Popen[bytes]", port: int, log: Path, is_ready: Callable[[int], bool]) -> None:
    deadline = time.monotonic() + _START_S
    while not is_ready(port):
        if process.poll() is not None or time.monotonic() > deadline:
            tail = "\n".join(log.read_text("utf-8", "replace").splitlines()[-10:])
            raise ServerFailed(f"{process.args!r} did not start:\n{tail}")
        time.sleep(0.02)


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
