"""A child process of the supervisor: ends with its parent, is restarted with a growing pause when it dies."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

import msgspec

from catalog.vocabulary.clock import Clock

_PR_SET_PDEATHSIG = 1
_PAUSE_MAX_S = 5.0
# A child that lived this long had started well: its next restart is immediate again.
_SETTLED_S = 5.0


class ChildSpec(msgspec.Struct, frozen=True):
    """What to run: a Python module with arguments, its environment and the descriptors it inherits."""

    name: str
    module: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    descriptors: tuple[int, ...] = ()


class Child:
    """One child, running or waiting for its restart."""

    def __init__(self, spec: ChildSpec, clock: Clock) -> None:
        """Nothing runs before `start`."""
        self.spec = spec
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._started_ns = 0
        self._failures = 0
        self._due_ns = 0

    def start(self) -> None:
        """Start the process. Call from the main thread: the parent-death signal belongs to the thread that forks."""
        parent = os.getpid()

        def end_with_parent() -> None:
            if sys.platform == "linux":
                ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
                if os.getppid() != parent:
                    os._exit(1)

        self._process = subprocess.Popen(
            [sys.executable, "-m", self.spec.module, *self.spec.arguments],
            env=dict(self.spec.environment),
            pass_fds=self.spec.descriptors,
            stdin=subprocess.DEVNULL,
            # Ctrl-C reaches the supervisor alone; it stops its children in order.
            start_new_session=True,
            preexec_fn=end_with_parent,
        )
        self._started_ns = self._clock.monotonic_ns()

    @property
    def pid(self) -> int | None:
        """The running process, or None."""
        return None if self._process is None else self._process.pid

    def tend(self) -> int | None:
        """Restart the process if it has died and its pause is over; its exit status when it has just died."""
        now_ns = self._clock.monotonic_ns()
        if self._process is None:
            if now_ns >= self._due_ns:
                self.start()
            return None
        status = self._process.poll()
        if status is None:
            return None
        self._process = None
        if now_ns - self._started_ns > _SETTLED_S * 1e9:
            self._failures = 0
        pause_s = 0.0 if self._failures == 0 else min(_PAUSE_MAX_S, 0.25 * 2**self._failures)
        self._failures += 1
        self._due_ns = now_ns + round(pause_s * 1e9)
        return status

    def ask_to_stop(self) -> None:
        """SIGTERM."""
        if self._process is not None:
            self._process.terminate()

    def wait(self, seconds: float) -> None:
        """Wait for the end; SIGKILL after `seconds`, for journals survive that and hangs must not."""
        if self._process is None:
            return
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


def stop_all(children: Sequence[Child], seconds: float) -> None:
    """Ask all, then wait for each."""
    for child in children:
        child.ask_to_stop()
    for child in children:
        child.wait(seconds)
