"""A power cut at any moment loses nothing that was acknowledged; `make torture` cuts two thousand times."""

import json
import subprocess
import sys

import pytest

from tests.fakes.journal_disk import is_torture
from tests.faults.installation import PROJECT
from tests.faults.power_cuts import CANNOT

QUICK, FULL = 20, 2_000


def _cut_power(*arguments: str) -> "subprocess.CompletedProcess[str]":
    # A process of its own: its mounts and its loop device end with it.
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.power_cuts", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=PROJECT,
    )
    if done.returncode == CANNOT:
        pytest.skip(done.stdout.strip())
    return done


def test_what_was_acknowledged_survives_every_power_cut() -> None:
    cuts = FULL if is_torture() else QUICK
    done = _cut_power("--cuts", str(cuts), "--seed", "27")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["cuts"] == cuts
    assert report["acknowledged"] > cuts


def test_the_cuts_find_a_writer_that_does_not_sync() -> None:
    done = _cut_power("--cuts", str(QUICK), "--seed", "27", "--unsynced")
    assert done.returncode == 1
    assert "AssertionError: seed 27, cut" in done.stderr
