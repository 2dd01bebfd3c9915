"""What refuses a field speaks of JSON; a command's field is an option, and so it is named here."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from catalog.vocabulary.problem import Problem


@contextmanager
def options_named() -> Iterator[None]:
    """A `Problem` about fields as one paragraph that names the running command's options: `--timezone: use a zone …`."""
    try:
        yield
    except Problem as problem:
        context = click.get_current_context(silent=True)
        if context is None or not problem.errors or not all(error.pointer for error in problem.errors):
            raise
        named = {param.name: _spelled(param) for param in context.command.params}
        fields = (
            f"{named.get(error.pointer.removeprefix('/'), error.pointer)}: {error.detail}"
            for error in problem.errors
        )
        raise click.ClickException(f"{'; '.join(fields)}.") from problem


def _spelled(param: click.Parameter) -> str:
    return param.opts[0] if isinstance(param, click.Option) else param.human_readable_name
