"""The benches measure what they say: configurations are filled in whole, figures are read and compared rightly."""

import os
import time
from pathlib import Path

import pytest

from tests.performance.bench_gateway import BARS
from tests.performance.comparison import Bar, Comparison, Sample, met
from tests.performance.contenders import (
    ENVOY,
    ENVOY_DIRECT,
    NGINX,
    NGINX_DIRECT,
    check_equal,
    envoy,
    missing_peers,
    nginx,
)
from tests.performance.load import Load, LoadFailed, hindrance, read_summary
from tests.performance.provenance import provenance
from tests.performance.servers import cpu_ns
from tests.performance.templates import PEERS, fill


def sample(calls: int, cpu_us_per_call: int) -> Sample:
    """A run of one second."""
    return Sample(Load(calls, 1_000_000, 0, 0, 500, 9_000), calls * cpu_us_per_call * 1_000)


@pytest.mark.parametrize("name", ["nginx.conf", "envoy.yaml"])
def test_every_place_of_a_peers_configuration_is_filled(name: str) -> None:
    values = {"DIR": "/scratch", "KEY": "og_live_x", "PORT": 1001, "UPSTREAM_PORT": 1002}
    values |= {"MODULES": "/modules"} if name == "nginx.conf" else {"DIRECT_PORT": 1003}
    filled = fill((PEERS / name).read_text("utf-8"), values)
    assert "@DIR@" not in filled and "og_live_x" in filled and "1001" in filled and "1002" in filled


@pytest.mark.skipif(
    bool(missing_peers() or hindrance()),
    reason="needs two cores, wrk, nginx with Lua, and Envoy in .tools/bench",
)
def test_every_peer_gives_the_same_answer_and_refuses_the_same_with_a_hop_and_without(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with (
        nginx("og_live_x", tmp_path) as (peers, upstream, pids),
        envoy("og_live_x", tmp_path, upstream, pids) as others,
    ):
        measured = [*peers, *others]
        assert [one.name for one in measured] == [NGINX, NGINX_DIRECT, ENVOY, ENVOY_DIRECT]
        for contender in measured:
            check_equal(contender)
            assert (set(pids) <= set(contender.pids)) == (contender.name != ENVOY_DIRECT), (
                "the hop is counted"
            )
    assert {bar.peer for bar in BARS} == {ENVOY, NGINX}, "what has no hop is shown and has no bar"


@pytest.mark.parametrize("values", [{}, {"A": 1}, {"A": 1, "B": 2, "C": 3}])
def test_a_place_without_a_value_and_a_value_without_a_place_are_refused(values: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="places and values differ"):
        fill("@A@ and @B@", values)


def test_a_summary_is_the_last_line_of_the_load_generator() -> None:
    line = '{"calls":10,"duration_us":2000000,"refused":0,"broken":0,"p50_us":7,"p99_us":9}'
    load = read_summary(f"Running 2s test @ http://127.0.0.1\n  1 threads\n{line}\n")
    assert (load.calls, load.p50_us, load.p99_us, load.is_clean) == (10, 7, 9, True)


@pytest.mark.parametrize(
    "output", ["", "unable to connect to 127.0.0.1:1 Connection refused\n", '{"calls":1}']
)
def test_a_load_generator_that_failed_is_not_a_figure(output: str) -> None:
    with pytest.raises(LoadFailed):
        read_summary(output)


@pytest.mark.parametrize(("refused", "broken", "calls"), [(1, 0, 5), (0, 1, 5), (0, 0, 0)])
def test_calls_that_went_wrong_make_a_run_worthless(refused: int, broken: int, calls: int) -> None:
    assert not Load(calls, 1_000_000, refused, broken, 1, 1).is_clean


def test_a_ratio_is_the_median_of_the_ratios_within_each_round() -> None:
    comparison = Comparison("ours")
    # The second round ran on a machine twice as slow; the third hit the peer alone.
    for ours_us, peer_us in ((50, 100), (100, 200), (50, 400)):
        comparison.add("ours", sample(1_000, ours_us))
        comparison.add("peer", sample(3_000, peer_us))
    assert comparison.names == ["ours", "peer"]
    assert comparison.cpu_us("ours") == 50
    assert comparison.ratio("peer") == 2
    assert comparison.ratio("ours") == 1
    assert "20,000" in comparison.table(), "calls for each second of CPU"


@pytest.mark.parametrize(("at_least", "expected"), [(2.0, True), (2.1, False)])
def test_a_missed_bar_fails_and_an_absent_peer_does_not(
    at_least: float, expected: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    comparison = Comparison("ours")
    comparison.add("ours", sample(1_000, 50))
    comparison.add("peer", sample(1_000, 100))
    assert met(comparison, [Bar("peer", at_least), Bar("absent", 9.0)]) is expected
    assert capsys.readouterr().out.startswith("PASS" if expected else "FAIL")


def test_cpu_is_counted_for_the_whole_process() -> None:
    before_ns, own_ns = cpu_ns(os.getpid()), time.process_time_ns()
    sum(range(200_000))
    assert cpu_ns(os.getpid()) - before_ns == pytest.approx(time.process_time_ns() - own_ns, rel=0.2, abs=5e5)


def test_figures_name_their_commit_and_conditions() -> None:
    line = provenance(seed=7)
    assert line.startswith("commit=")
    assert line.endswith("seed=7")
