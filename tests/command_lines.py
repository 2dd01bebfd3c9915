"""The `ordergate` command in the test's own process, over a database of its own."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from click.testing import CliRunner, Result
from ruamel.yaml import YAML

from atomic_services.registry import built_in_passports
from deploy.cli import main
from deploy.database import Database

Run = Callable[..., Result]
PROJECT = Path(__file__).parents[1]
BENCH = Path("atomic_services/bench/passport.yaml")


def command_line(database: Database, home: Path) -> Run:
    """Runs a command line over an installation; the exit status is 0 unless `fails` says otherwise."""
    url = f"postgresql://postgres@/{database.name}?host={quote(str(database.socket_dir), safe='/')}&port=5432"
    environment = {"ORDERGATE_HOME": str(home), "ORDERGATE_DATABASE_URL": url, "ORDERGATE_KEY": None}

    def invoke(*arguments: str, fails: int = 0, stdin: str | None = None) -> Result:
        result = CliRunner().invoke(main, arguments, input=stdin, env=environment)
        assert result.exit_code == fails, result.output
        return result

    return invoke


def with_built_in_services(run: Run) -> Run:
    """The same, with every built-in service on sale."""
    run("publish", *(str(PROJECT / "atomic_services" / one.service) for one in built_in_passports()))
    return run


def passport_file(folder: Path, name: str = "passport.yaml", **fields: Any) -> str:
    """A file of the bench service's passport with these fields changed; its path."""
    document = {**YAML(typ="safe", pure=True).load((PROJECT / BENCH).read_text("utf-8")), **fields}
    path = folder / name
    path.write_text(json.dumps(document, default=str), "utf-8")
    return str(path)
