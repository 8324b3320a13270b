"""The program speaks with one voice: what holds for the help of every command."""

import shlex
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from itertools import chain

import click
import pytest

from etl.cli.commands import COMMANDS, FIRST_STEPS
from etl.cli.options import IsoTime
from etl.cli.program import program
from tests.program import run

NAMES = [name for group in COMMANDS.values() for name in group]
METAVARS = {
    *("PATH|URL", "FILE", "FOLDER", "URL", "ADDRESS"),
    *("DATE", "SECONDS", "DAYS", "DEGREES", "W,S,E,N", "N", "PIXELS"),
}
"""What values are called, where they are not one of a few words."""
COLUMNS = 80


def context(name: str) -> click.Context:
    root = click.Context(program, info_name="ndvi-archive", **program.context_settings)
    command = program.get_command(root, name)
    assert command is not None
    return click.Context(command, info_name=name, parent=root, terminal_width=COLUMNS)


def options() -> Iterator[tuple[str, click.Option, click.Context]]:
    """Every option, its command, and what it is shown in."""
    root = click.Context(program, info_name="ndvi-archive", **program.context_settings)
    for where in (root, *map(context, NAMES)):
        for each in where.command.get_params(where):
            if isinstance(each, click.Option) and each.opts[0] not in ("--version", "-h"):
                yield f"{where.info_name} {max(each.opts, key=len)}", each, where


def assert_can_be_typed(line: str) -> None:
    """Click accepts the command line and all its values; nothing is run."""
    word, *arguments = shlex.split(line)
    assert word == "ndvi-archive"
    while arguments[0].startswith("-"):
        arguments = arguments[1:]
    where = context(arguments[0])
    where.command.make_context(where.info_name, arguments[1:], parent=where.parent)


def test_without_arguments_it_tells_what_to_do_first() -> None:
    ended = run()

    assert (ended.code, ended.out, ended.err) == (2, "", FIRST_STEPS)
    lines = [line.strip() for line in FIRST_STEPS.splitlines()]
    commands = [line for line in lines if line.startswith("ndvi-archive ")]
    for line in commands:
        assert_can_be_typed(line)
    assert commands[0] == "ndvi-archive demo"
    assert max(map(len, FIRST_STEPS.splitlines())) < COLUMNS


def test_help_lists_all_commands_by_what_they_are_for() -> None:
    ended = run("--help", variables={"COLUMNS": str(COLUMNS)})

    assert ended.code == 0
    places = [ended.out.index(f"\n{purpose}:\n") for purpose in COMMANDS]
    assert places == sorted(places)
    for name, does in chain.from_iterable(group.items() for group in COMMANDS.values()):
        (line,) = [line for line in ended.out.splitlines() if line.startswith(f"  {name} ")]
        assert line.endswith(f"  {does}")
    assert ended.out.endswith(f"\n  {program.epilog}\n")
    assert_can_be_typed(str(program.epilog).removeprefix("Example: "))


def test_to_list_commands_nothing_of_them_is_imported() -> None:
    code = (
        "import sys; from etl.cli.program import program; program(['--help'], standalone_mode=False);"
        "print({'av', 'requests', 'xarray', 'zarr'} & {*sys.modules})"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "set()"


@pytest.mark.parametrize("name", NAMES)
def test_a_command_is_listed_with_the_first_sentence_of_its_help(name: str) -> None:
    (listed,) = [group[name] for group in COMMANDS.values() if name in group]

    assert str(context(name).command.help).split("\n\n")[0] == listed


@pytest.mark.parametrize("name", NAMES)
def test_help_ends_with_an_example_that_can_be_copied(name: str) -> None:
    where = context(name)
    # After \b Click breaks no line.
    example = str(where.command.epilog).removeprefix("\b\n")

    assert example.startswith(f"Example: ndvi-archive {name} ")
    assert where.command.get_help(where).endswith(f"\n\n  {example}")
    assert_can_be_typed(example.removeprefix("Example: "))


@pytest.mark.parametrize("each", [pytest.param(each, id=name) for name, *each in options()])
def test_an_option_tells_what_it_does_its_default_and_its_variable(
    each: tuple[click.Option, click.Context],
) -> None:
    option, where = each
    told = option.get_help_extra(where)

    assert option.help
    assert option.help[0].isupper() or option.help.startswith("…")
    assert option.help.endswith((".", "…"))
    assert "[default" not in option.help
    default = option.get_default(where, call=False)
    has_default = isinstance(default, str | int | float) and not option.count and default is not False
    assert told.get("default") or not (has_default or option.secondary_opts)
    if option.opts[0] != "--endpoint-url" and (where.info_name, option.opts[0]) != ("demo", "--archive"):
        long = max(option.opts, key=len).removeprefix("--").replace("-", "_")
        assert told.get("envvars") == (f"NDVI_ARCHIVE_{long.upper()}",)


def test_all_commands_call_the_same_thing_the_same() -> None:
    by_flag, by_name, by_help = (defaultdict[str, set[object]](set) for _ in range(3))
    for _, option, where in options():
        flags = tuple(option.opts + option.secondary_opts)
        value = "" if option.is_flag or option.count else option.make_metavar(where)
        assert value in METAVARS or isinstance(option.type, click.Choice) or not value, flags
        if flags == ("--out",):
            # A folder of many files, or one file.
            continue
        by_name[option.name].add(flags)
        by_help[str(option.help)].add(flags)
        for flag in flags:
            by_flag[flag].add((flags, option.name, value))

    for found in (by_flag, by_name, by_help):
        assert {key: uses for key, uses in found.items() if len(uses) > 1} == {}


def test_all_dates_are_given_in_the_same_way() -> None:
    dates = [option for _, option, _ in options() if isinstance(option.type, IsoTime)]

    assert {option.opts[0] for option in dates} == {"--start", "--end"}
    assert len({option.help for option in dates}) == 2
    assert all("UTC" in str(option.help) for option in dates)
    assert all(option in dates for _, option, _ in options() if option.opts[0] in ("--start", "--end"))
