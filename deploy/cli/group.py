"""The command group: loads a command when it is used, and turns every expected failure into one paragraph."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import asyncpg
import click

from billing.journal import JournalDamaged
from catalog.passport import PassportRefused
from catalog.vocabulary.problem import Problem
from deploy.embedded_postgres import EmbeddedPostgresError
from deploy.home import AlreadyRunning
from deploy.installation import NotInstalled


class LazyGroup(click.Group):
    """Commands by name, each as `module:attribute`: `ordergate rate` must not load what `ordergate up` needs."""

    def __init__(self, *, places: Mapping[str, str], **fields: Any) -> None:
        """`places` says where each command is."""
        super().__init__(**fields)
        self._places = places

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """All commands, in the order of the table."""
        return list(self._places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """The command of that name, imported now."""
        if cmd_name not in self._places:
            return None
        module, _, attribute = self._places[cmd_name].partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; exit status 1 for what went wrong, 2 for a wrong command line."""
        with explained():
            return super().invoke(ctx)


@contextmanager
def explained() -> Iterator[None]:
    """Expected failures as `click.ClickException`: one paragraph on stderr that says what to do, and exit status 1."""
    try:
        yield
    except BrokenPipeError:
        raise  # the reader of our output has seen enough; click ends quietly
    except Problem as problem:
        raise click.ClickException(_sentence(problem)) from problem
    except PassportRefused as refused:
        raise click.ClickException(str(refused)) from refused
    except EmbeddedPostgresError as error:
        raise click.ClickException(f"{error.message} {error.remedy}") from error
    except (NotInstalled, AlreadyRunning, JournalDamaged) as error:
        raise click.ClickException(str(error)) from error
    except (
        asyncpg.UndefinedTableError,
        asyncpg.InvalidSchemaNameError,
        asyncpg.UndefinedColumnError,
    ) as error:
        raise click.ClickException(
            f"The database has no schema of this version ({error}). Start it once with `ordergate up`."
        ) from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise click.ClickException(
            f"{str(error) or type(error).__name__}. `ordergate doctor` looks for the cause."
        ) from error


def _sentence(problem: Problem) -> str:
    """A problem's detail, and its remedy where the detail does not already name one for each field."""
    return problem.detail if problem.errors else f"{problem.detail} {problem.type.remedy.en}"
