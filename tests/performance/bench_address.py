"""Time per call of the address service, without the gateway:  python -m tests.performance.bench_address

Prints p50, p99 and the maximum in microseconds for each case, the time of the slowest first uses in milliseconds,
and the memory that the indexes of all countries hold. All times are CPU time of the thread: the handlers never
wait, and what else runs on the machine is not theirs.
"""

import gc
import sys
import time
import tracemalloc
from typing import Any

import msgspec

from atomic_services.address import SERVICE
from atomic_services.address.divisions import divisions
from atomic_services.address.reference import countries, rules_of
from tests.address_calls import CONTEXT

ROUNDS = 3_000
CASES: dict[str, dict[str, Any]] = {
    "DE": {"country": "DE", "postal_code": "10115", "locality": "Berlin", "lines": ["Invalidenstr. 116"]},
    "US": {
        "country": "US", "administrative_area": "California", "locality": "Mountain View", "postal_code": "94043",
        "lines": ["1600 Amphitheatre Pkwy"],
    },
    "GB": {"country": "GB", "locality": "London", "postal_code": "sw1a2aa", "lines": ["10 Downing Street"]},
    "CN": {
        "country": "CN", "administrative_area": "广东省", "locality": "深圳市", "dependent_locality": "南山区",
        "postal_code": "518057", "lines": ["深南大道9988号"],
    },
    "CN one line": {"country": "CN", "lines": ["广东省深圳市南山区深南大道9988号"]},
    "CN ambiguous": {"country": "CN", "dependent_locality": "鼓楼区", "lines": ["中山路1号"]},
    "CN Latin": {
        "country": "CN", "administrative_area": "Guangdong", "locality": "Shenzhen",
        "dependent_locality": "Nanshan District", "lines": ["9988 Shennan Avenue"],
    },
    "BR city alone": {"country": "BR", "locality": "Campinas", "postal_code": "13010000", "lines": ["Rua A 1"]},
    "worst: repeated names": {
        "country": "CN", "lines": ["鼓楼区" * 66, *["广东省深圳市南山区" * 22] * 7], "locality": "朝阳" * 60,
    },
    "worst: full lines": {"country": "CN", "lines": ["广东省深圳市" * 33] * 8, "dependent_locality": "é" * 120},
}  # fmt: skip


def main() -> None:
    """Print one line a case."""
    first_use()
    chosen = SERVICE.operations["validate"]
    for name, case in CASES.items():
        request = msgspec.convert(case, chosen.request)
        times = []
        for _ in range(ROUNDS):
            start = time.thread_time_ns()
            running = chosen.run(request, CONTEXT).__await__()
            try:
                next(running)
            except StopIteration:
                times.append(time.thread_time_ns() - start)
        times.sort()
        p50, p99, worst = (times[int((ROUNDS - 1) * q)] / 1_000 for q in (0.5, 0.99, 1))
        sys.stdout.write(f"{name:24} p50 {p50:8.1f} us   p99 {p99:8.1f} us   max {worst:8.1f} us\n")


def first_use() -> None:
    """Load every country and report the slowest ones and the memory held."""
    gc.collect()
    loads = []
    for country in sorted(countries()):
        start = time.thread_time_ns()
        rules_of(country)
        loads.append(((time.thread_time_ns() - start) / 1e6, country))
    start = time.thread_time_ns()
    divisions()
    loads.append(((time.thread_time_ns() - start) / 1e6, "Chinese divisions"))
    slowest = ", ".join(f"{country} {ms:.0f} ms" for ms, country in sorted(loads, reverse=True)[:5])
    sys.stdout.write(f"first use: {slowest}; all {sum(ms for ms, _ in loads):.0f} ms\n")
    rules_of.cache_clear()
    divisions.cache_clear()
    gc.collect()
    tracemalloc.start()
    for country in countries():
        rules_of(country)
    divisions()
    gc.collect()
    sys.stdout.write(f"memory of all indexes: {tracemalloc.get_traced_memory()[0] / 2**20:.1f} MiB\n")
    tracemalloc.stop()


if __name__ == "__main__":
    main()
