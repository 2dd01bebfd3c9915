"""The command line is one language: the same option has the same name everywhere, and what only looks takes `--json`."""

from collections.abc import Iterator

import click

from deploy.cli import main

# Commands that change something, and those whose output has a form of its own: cases (JSON lines), a file.
CHANGING = {
    "account subscribe", "account terms end", "account terms set", "account unsubscribe", "backup",
    "budget end", "clock advance", "demo remove", "key revoke", "leases lost", "payments collect", "payments release", "payments stop",
    "restore", "review reject", "seller profile", "tax set", "up", "user sign-out",
}  # fmt: skip
OF_THEIR_OWN_FORM = {"focus", "rate"}
# What scripts rely on: a command with the options that were promised for it.
PROMISED = {
    "up": {"--port", "--workers"},
    "publish": set(),
    "services": set(),
    "account create": {"--kind", "--currency", "--timezone"},
    "key create": {"--env"},
    "key revoke": set(),
    "key list": set(),
    "call": set(),
    "usage": {"--period"},
    "rate": set(),
    "close": set(),
    "statement": {"--format"},
    "reconcile": {"--book"},
    "rebuild": {"--verify"},
    "journal verify": set(),
    "user create": {"--role"},
    "backup": set(),
    "restore": set(),
    "doctor": set(),
}


def commands(
    command: click.Command, name: tuple[str, ...] = ()
) -> Iterator[tuple[str, dict[str, click.Parameter]]]:
    """Every command by its full name, with its options by their spelling."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found is not None
            yield from commands(found, (*name, below))
    else:
        options = (one for one in command.params if isinstance(one, click.Option))
        yield " ".join(name), {spelling: one for one in options for spelling in one.opts}


COMMANDS = dict(commands(main))


def test_what_scripts_rely_on_is_there() -> None:
    for name, options in PROMISED.items():
        assert options <= COMMANDS[name].keys(), name


def test_every_command_that_only_looks_answers_programs_too() -> None:
    without = {name for name, options in COMMANDS.items() if "--json" not in options}
    assert without == CHANGING | OF_THEIR_OWN_FORM


def test_an_option_has_one_name_and_a_name_one_meaning() -> None:
    spelled: dict[str, set[str]] = {}
    for options in COMMANDS.values():
        for spelling, option in options.items():
            assert option.name is not None
            spelled.setdefault(option.name, set()).add(spelling)
    several = {name: names for name, names in spelled.items() if len(names) > 1}
    assert several == {}


def test_every_command_says_what_it_does() -> None:
    for name in COMMANDS:
        command: click.Command = main
        for part in name.split():
            assert isinstance(command, click.Group)
            found = command.get_command(click.Context(command), part)
            assert found is not None
            command = found
        assert command.help, name
