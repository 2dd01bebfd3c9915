"""`make conformance` says of every suite how it went, or in one line what is missing and where that is published."""

from pathlib import Path

import pytest

from tests.conformance.__main__ import SUITES, Suite, main

_ONE = '[{"id": "a", "model": "per_unit", "currency": "CNY", "usage": "2", "price": {"unit_price": "0.5"}, "expected_amount": "%s"}]'
# What reads no folder is the product's own, and takes a while.
_PUBLIC = {name: suite for name, suite in SUITES.items() if suite.reads is not None}


def test_every_suite_without_cases_is_one_line_with_the_reason_and_no_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = tmp_path / "nowhere"
    (tmp_path / "pricing").mkdir()
    for root, reason in (
        (None, "no folder of cases is named: `make conformance CASES=folder`, with"),
        (nowhere, f"there is no folder {nowhere}: `make conformance CASES=folder`, with"),
        (tmp_path, f"{tmp_path} has no"),
    ):
        assert main(root, _PUBLIC) == 0
        assert capsys.readouterr().out.splitlines() == [
            f"{name} SKIPPED: {reason} {suite.reads} ({suite.published})" for name, suite in _PUBLIC.items()
        ]


@pytest.mark.parametrize(("expected", "line", "status"), [("1.00", "1/1", 0), ("1.01", "0/1", 1)])
def test_suites_that_are_there_run_beside_those_that_are_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], expected: str, line: str, status: int
) -> None:
    (tmp_path / "pricing").mkdir()
    (tmp_path / "pricing" / "worked.json").write_text(_ONE % expected)
    assert main(tmp_path, _PUBLIC) == status
    first, *others = capsys.readouterr().out.splitlines()
    assert first == f"pricing {line}"
    assert all("SKIPPED" in other for other in others)


def test_what_is_the_products_own_runs_without_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(None, {"own": Suite(lambda _: (2, 2))}) == 0
    assert capsys.readouterr().out == "own 2/2\n"
