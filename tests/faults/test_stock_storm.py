"""The storm on one article in small; `make torture` makes 1,000,000 attempts, 1,000 at a time."""

from tests.fakes.journal_disk import memory_directory
from tests.faults.installation import only_linux
from tests.faults.stock_storm import stock_storm

ATTEMPTS = 4_000


@only_linux
def test_while_workers_are_killed_no_unit_of_a_hot_article_is_sold_twice_or_lost() -> None:
    with memory_directory() as folder:
        # The database runs as an unprivileged user, who has to pass through here.
        folder.chmod(0o711)
        report = stock_storm(folder, attempts=ATTEMPTS, concurrency=100, kill_every_s=0.3)
    assert sum(report.ends.values()) == ATTEMPTS
    assert report.ends["refused"] > 0
    assert report.kills > 0
    assert report.snapshots > 0
