"""The `quant` command: everything that the web UI does, from a terminal."""

import os
import sys
from typing import Any

import typer

from quant_assets.commands import experiment_commands, question_commands, run_commands, server_commands, upkeep_commands
from quant_assets.commands.actions_command import actions_app
from quant_assets.commands.terminal import refused
from quant_assets.instance.env_file import read_env_file
from quant_core.errors import QuantError

app = typer.Typer(
    help="AI Quant Research Lab: Indian equities from raw prices to an out-of-sample report.\n\n"
    "Start with [bold]quant demo[/bold]; then [bold]quant doctor[/bold] and "
    "[bold]quant run --profile nifty50 --source files --path DIR[/bold].\n\n"
    "Tables and artifacts live in QUANT_DATA (default: data/), "
    "Dagster's own records in DAGSTER_HOME (default: dagster_home/). QUANT_LOG_LEVEL (debug, info, warning, error) and "
    "QUANT_LOG_FORMAT (text, json) say what is logged to stderr, and how.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
    pretty_exceptions_enable=False,
)
#: What to do about a place that the system refuses, and how SQLite says that it does.
PLACE_REMEDY = "give a place that can be read and written, free space on it, or see `quant doctor`."
DISK_REASONS = ("database or disk is full", "attempt to write a readonly database", "disk I/O error")
#: What typer raises for options and arguments that a command does not have or cannot take.
USAGE_ERROR: Any = typer.BadParameter.__base__
for commands in (run_commands, server_commands, question_commands, experiment_commands, upkeep_commands):
    commands.add_to(app)
app.add_typer(actions_app, name="actions")


def main() -> None:
    """Entry point: what a person can mend is one line on stderr; docs/operations.md has the exit codes."""
    try:
        read_env_file()
        code = app(prog_name="quant", standalone_mode=False) or 0
    except QuantError as error:
        code = refused(str(error))
    except USAGE_ERROR as error:
        code = 2 if type(error).__name__ == "NoArgsIsHelpError" else refused(in_usage(error), 2)  # it has shown help
    except OSError as error:
        what = error.strerror or str(error)
        where = f"{error.filename}: " if error.filename else ""
        code = refused(f"{where}{what}; {PLACE_REMEDY}")
    except Exception as error:
        if not (what := refused_by_database(error)):
            raise
        code = refused(f"{what}; {PLACE_REMEDY}")
    sys.exit(code)


def refused_by_database(error: BaseException) -> str:
    """What a database on a full or read-only disk says; "" for any other error."""
    reason = str(getattr(error, "orig", error))
    return f"{os.environ.get('DAGSTER_HOME', '')}: {reason}" if reason in DISK_REASONS else ""


def in_usage(error: Any) -> str:
    """A mistake in a command's options, with where to read about them."""
    command = error.ctx.command_path if error.ctx else "quant"
    return f"{command}: {error.format_message().rstrip('.')}; see `{command} --help`."


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()
