"""Whether there is room for a backup, asked before it is begun: half of one is none."""

import shutil
from pathlib import Path

import asyncpg

from deploy.database import Database
from deploy.home import FREE_BYTES_MIN, Home
from deploy.roles import OWNER

# Indexes are not in a dump, and it is compressed: the demo's books come to a tenth of their tables. A third is for contents
# that compress badly.
_DUMPED_PART = 3
_TABLES = """
    SELECT coalesce(sum(pg_table_size(pg_class.oid)), 0)::bigint FROM pg_class
      JOIN pg_namespace ON pg_namespace.oid = relnamespace
     WHERE relkind IN ('r', 'm') AND nspname !~ '^pg_' AND nspname <> 'information_schema'
"""


async def bytes_needed(home: Home, database: Database) -> int:
    """What a backup comes to at most: the journals and secrets as they are, and an estimate of the compressed dump."""
    owner = await asyncpg.connect(**database.as_role(OWNER))
    try:
        tables: int = await owner.fetchval(_TABLES)
    finally:
        await owner.close()
    files = [path for folder in (home.journals, home.secrets) for path in folder.rglob("*") if path.is_file()]
    return tables // _DUMPED_PART + sum(path.stat().st_size for path in files)


def bytes_free(home: Home, directory: Path) -> int:
    """What a backup in `directory`, which may be missing, may take of its disk.

    On the installation's own disk that is what the journals can spare: without room they acknowledge no call.
    """
    place = next(
        folder for folder in (directory.absolute(), *directory.absolute().parents) if folder.exists()
    )
    free = shutil.disk_usage(place).free
    if place.stat().st_dev == home.path.stat().st_dev:
        free -= FREE_BYTES_MIN
    return max(0, free)
