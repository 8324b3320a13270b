"""The program `ndvi-archive`: its global options, its commands, and how it ends."""

import sys
from importlib import import_module

import click
from click.shell_completion import CompletionItem

from etl import __version__
from etl.cli.commands import COMMANDS, FIRST_STEPS
from etl.cli.options import option
from etl.cli.output import Output
from etl.errors import ArchiveError
from etl.signals import Interrupted


class _Commands(click.Group):
    """Commands that are imported when they are asked for: one need not wait for what only another needs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for group in COMMANDS.values() for name in group]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command = getattr(import_module(f"etl.cli.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)  # noqa: S101 - for the type checker
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            # Click itself knows only of commands that are imported.
            known = self.list_commands(ctx)
            raise click.exceptions.NoSuchCommand(error.command_name, possibilities=known, ctx=ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, self.list_commands(ctx)))
        for purpose, commands in COMMANDS.items():
            with formatter.section(purpose):
                formatter.write_dl([(name.ljust(width), does) for name, does in commands.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        commands = [
            CompletionItem(name, help=does)
            for group in COMMANDS.values()
            for name, does in group.items()
            if name.startswith(incomplete)
        ]
        return commands + click.Command.shell_complete(self, ctx, incomplete)


@click.group(
    cls=_Commands,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
        "show_default": True,
    },
    epilog="Example: ndvi-archive -v convert Europe --archive /data/ndvi",
)
@click.version_option(__version__, prog_name="ndvi-archive")
@option("-v", "--verbose", count=True, show_default=False, help="Tell more; twice adds tracebacks of errors.")
@option("-q", "--quiet", count=True, show_default=False, help="Tell only warnings; twice only errors.")
@option("--log-format", type=click.Choice(["text", "json"]), default="text", help="Format of the log.")
@click.pass_obj
def program(output: Output, verbose: int, quiet: int, log_format: str) -> None:
    """Archive DestinE's Sentinel-3 NDVI video streams as Zarr with a STAC catalog, and use the archive.

    Options can be given as variables too: the help of each command names them. Dates and times are UTC.
    """
    output.configure(verbose - quiet, as_json=log_format == "json")


def _remedy(error: click.UsageError) -> str:
    """What to do about a command line that cannot be used."""
    if error.ctx is None:
        return "see ndvi-archive --help"
    root = error.ctx.find_root()
    of_all = {name for parameter in root.command.params for name in parameter.opts}
    if isinstance(error, click.NoSuchOption) and error.ctx is not root and error.option_name in of_all:
        return f"it belongs before the command: ndvi-archive {error.option_name} {error.ctx.info_name}"
    return f"see {error.ctx.command_path} --help"


def main() -> None:
    """Run the program and end the process with the exit code of what happened."""
    output = Output()
    try:
        code = program(obj=output, standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(FIRST_STEPS, err=True, nl=False)
        code = error.exit_code
    except click.UsageError as error:
        code = error.exit_code
        output.error(f"{error.format_message().rstrip('.')}; {_remedy(error)}", code)
    except ArchiveError as error:
        code = error.exit_code
        output.error(str(error), code)
    except Interrupted as error:
        code = error.exit_code
        output.error(f"{error}; {error.remedy}", code)
    except (click.Abort, KeyboardInterrupt):
        code = 130
        output.error("interrupted; run the command again", code)
    except Exception as error:  # noqa: BLE001 - the last resort: one line instead of a traceback
        output.error(
            f"unexpected {type(error).__name__}: {error}; run it again with -vv and report what it prints"
        )
        code = 1
    sys.exit(code or 0)
