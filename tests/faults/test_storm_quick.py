"""The storm in small; `make torture` runs it with 200,000 calls."""

from tests.fakes.journal_disk import memory_directory
from tests.faults.installation import only_linux
from tests.faults.storm import storm

CALLS = 1_500
KILLS = 6


@only_linux
def test_killing_every_part_of_the_product_under_load_loses_and_doubles_no_call_no_unit_and_no_cent() -> None:
    with memory_directory() as folder:
        # The database runs as an unprivileged user, who has to pass through here.
        folder.chmod(0o711)
        report = storm(folder, calls=CALLS, kills=KILLS, seed=27)
    assert sum(report.kills.values()) == KILLS
    assert report.load["calls"] == CALLS
