"""What was measured of each server in each round, and the figures made of it."""

from collections.abc import Iterable
from statistics import median

import msgspec

from tests.performance.load import Load


class Sample(msgspec.Struct, frozen=True):
    """One run against one server: what the load generator saw and the CPU that the server used meanwhile."""

    load: Load
    cpu_ns: int

    @property
    def cpu_us(self) -> float:
        """Microseconds of CPU for each call."""
        return self.cpu_ns / 1_000 / self.load.calls


class Bar(msgspec.Struct, frozen=True):
    """Our calls per CPU second are at least `at_least` times those of `peer`."""

    peer: str
    at_least: float


class Comparison:
    """Samples of several servers, taken in rounds that each measured all of them."""

    def __init__(self, ours: str) -> None:
        """`ours` names the server that the others are compared with."""
        self._ours = ours
        self._samples: dict[str, list[Sample]] = {}

    def add(self, name: str, sample: Sample) -> None:
        """The next round's sample of a server."""
        self._samples.setdefault(name, []).append(sample)

    @property
    def names(self) -> list[str]:
        """Who was measured, ours first."""
        return sorted(self._samples, key=lambda name: (name != self._ours, name))

    def cpu_us(self, name: str) -> float:
        """Microseconds of CPU for each call, the median of the rounds."""
        return median(sample.cpu_us for sample in self._samples[name])

    def ratio(self, name: str) -> float:
        """Our calls per CPU second as a multiple of another's: the median of the ratios within each round."""
        pairs = zip(self._samples[name], self._samples[self._ours], strict=True)
        return median(theirs.cpu_us / ours.cpu_us for theirs, ours in pairs)

    def table(self) -> str:
        """One line a server; latencies are wrk's, at 64 connections that always have a call under way."""
        lines = [
            f"{'':28}{'calls/CPU-s':>12}{'us CPU/call':>13}{'ours is':>9}{'calls/s':>10}{'p50 ms':>9}{'p99 ms':>9}"
        ]
        for name in self.names:
            samples = self._samples[name]
            cpu_us = self.cpu_us(name)
            rate = median(one.load.calls / one.load.duration_us * 1e6 for one in samples)
            p50_ms = median(one.load.p50_us for one in samples) / 1_000
            p99_ms = median(one.load.p99_us for one in samples) / 1_000
            lines.append(
                f"{name:28}{1e6 / cpu_us:12,.0f}{cpu_us:13.1f}{self.ratio(name):8.2f}x{rate:10,.0f}{p50_ms:9.2f}{p99_ms:9.2f}"
            )
        return "\n".join(lines)


def met(comparison: Comparison, bars: Iterable[Bar]) -> bool:
    """Print each bar with PASS or FAIL; whether none failed. A peer that was not measured fails nothing."""
    failed = False
    for bar in bars:
        if bar.peer not in comparison.names:
            continue
        ratio = comparison.ratio(bar.peer)
        passed = ratio >= bar.at_least
        failed = failed or not passed
        print(f"{'PASS' if passed else 'FAIL'}  {ratio:.2f}x {bar.peer} (bar >= {bar.at_least}x)")
    return not failed
