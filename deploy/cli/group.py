"""The command group: loads a command when it is used, and turns every expected failure into one paragraph."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import click


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
    except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
        raise  # click's own; and the reader of our output who has seen enough
    except Exception as error:
        # The kinds of failure come with half of the product: loaded only when something has failed.
        from deploy.cli.failures import explanation

        paragraph = explanation(error)
        if paragraph is None:
            raise
        raise click.ClickException(paragraph) from error
