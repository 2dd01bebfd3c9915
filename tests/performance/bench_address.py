"""Time per call of the address service, without the gateway:  python -m tests.performance.bench_address

Prints p50, p99 and the maximum in microseconds for each case, the time of the slowest first uses in milliseconds,
and the memory that the indexes of all countries hold. All times are CPU time of the thread: the handlers never
wait, and what else runs on the machine is not theirs.
"""

import gc
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import msgspec

from atomic_services.address import SERVICE, mentions, streets
from atomic_services.address.divisions import divisions
from atomic_services.address.forms import form_countries, form_of
from atomic_services.address.name_index import everywhere
from atomic_services.address.places import places
from atomic_services.address.reference import countries, rules_of
from tests.address_calls import CONTEXT

ROUNDS = 3_000
_TABLES: dict[str, Callable[[], object]] = {
    "Chinese divisions": divisions,
    "indexes of mentions": mentions.prepare,
    "towns and zones": streets.prepare,
    "places of suggest": everywhere,
    "forms of format": lambda: [form_of(country) for country in form_countries()],
}
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
# Other operations than validate: name -> operation and request.
OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "parse a pasted line": ("parse", {"text": "收货人：张三 13800138000 浙江省杭州市西湖区文三路 90 号"}),
    "parse without spaces": ("parse", {"text": "张三13800138000浙江杭州西湖区文新街道文三路90号310012"}),
    "parse ambiguous": ("parse", {"text": "西湖区文三路90号 李四 010-88888888"}),
    "parse a town alone": ("parse", {"text": "城关镇人民路1号"}),
    "parse English order": ("parse", {
        "text": "Zhang San, No. 90 Wensan Road, Xihu District, Hangzhou, Zhejiang 310012, China, +86 138 0013 8000",
    }),
    "parse US": ("parse", {"text": "John Smith\n1600 Amphitheatre Pkwy\nMountain View, CA 94043\nUSA"}),
    "parse: worst in Chinese": ("parse", {"text": "浙江杭州西湖南山鼓楼朝阳河东" * 71}),
    "parse: worst in pinyin": ("parse", {"text": "shi qu xian " * 83}),
    "parse: worst of names": ("parse", {"text": "东山铁西区市中市中区鼓楼区新华区郊区新城朝阳" * 45}),
    "parse: worst of towns": ("parse", {"text": "四川省 " + "珻韩弬豦柺乡" * 166}),
    "parse: worst of words": ("parse", {"text": "浙江省杭州市 " + "张三李四 " * 198}),
    "parse: worst abroad": ("parse", {"text": "a\n" * 500, "country": "BR"}),
    "format": ("format", {
        "country": "US",
        "components": {"house_number": "301", "road": "Hamilton Avenue", "city": "Palo Alto", "state": "California",
                       "postcode": "94303", "country": "United States of America", "shop": "Blue Books"},
    }),
    "format: worst": ("format", {"country": "CO", "components": {f"part{'x' * i}": ", -" * 66 for i in range(36)}}),
    "suggest hzxh": ("suggest", {"text": "hzxh", "country": "CN"}),
    "suggest one letter": ("suggest", {"text": "s", "limit": 20}),
    "suggest typing error": ("suggest", {"text": "Califrnia"}),
    "suggest within a state": ("suggest", {"text": "San", "within": "BR-SP"}),
    "suggest UN/LOCODE": ("suggest", {"text": "NL RTM"}),
    "suggest border posts": ("suggest", {"text": "s", "functions": ["border"], "limit": 20}),
    "suggest: worst": ("suggest", {"text": "guangdongshengshenzhenshi" * 4 + "q"}),
}  # fmt: skip


def main() -> None:
    """Print one line a case."""
    first_use()
    cases = {name: ("validate", case) for name, case in CASES.items()} | OTHERS
    for name, (operation, case) in cases.items():
        chosen = SERVICE.operations[operation]
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
    for name, load in _TABLES.items():
        start = time.thread_time_ns()
        load()
        loads.append(((time.thread_time_ns() - start) / 1e6, name))
    slowest = ", ".join(f"{country} {ms:.0f} ms" for ms, country in sorted(loads, reverse=True)[:5])
    sys.stdout.write(f"first use: {slowest}; all {sum(ms for ms, _ in loads):.0f} ms\n")
    for table in (rules_of, divisions, places, everywhere, form_of):
        table.cache_clear()
    gc.collect()
    tracemalloc.start()
    for country in countries():
        rules_of(country)
    for load in _TABLES.values():
        load()
    gc.collect()
    sys.stdout.write(f"memory of all indexes: {tracemalloc.get_traced_memory()[0] / 2**20:.1f} MiB\n")
    tracemalloc.stop()


if __name__ == "__main__":
    main()
