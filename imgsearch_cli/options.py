"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from imgsearch_cli.completing import complete_encoders, complete_folders, complete_languages
from index_store.errors import UsageError
from index_store.paths import expanded
from index_store.question import first_day

Command = TypeVar("Command", bound=Callable[..., Any])


def _at_home(_context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Replace a leading `~`, which the shell leaves alone in --store=~/x and in quotes; refuse an empty name."""
    if value == "":
        raise click.BadParameter("is empty", param=parameter)
    return None if value is None else expanded(value)


def at_home(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Do the same for an option that may be repeated."""
    return tuple(expanded(value) for value in values if _at_home(context, parameter, value))


def _folders_here(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Return absolute paths, or addresses."""
    from index_store.photos.file_system import absolute  # late: most commands name no folder

    return tuple(absolute(value) for value in at_home(context, parameter, values))


folders_option = click.option(
    "--in",
    "folders",
    multiple=True,
    callback=_folders_here,
    shell_complete=complete_folders,
    metavar="FOLDER",
    help="Only photos at or below FOLDER. May be repeated.",
)


def day(_context: click.Context, parameter: click.Parameter, value: str | None) -> date | None:
    """Return the day that an option names, or the first one of a month or a year."""
    try:
        return None if value is None else first_day(value)
    except UsageError as error:
        raise click.BadParameter(str(error), param=parameter) from error


def _file_at_home(_context: click.Context, _parameter: click.Parameter, value: Path | None) -> Path | None:
    return None if value is None else Path(expanded(str(value)))


store_option = click.option(
    "--store",
    metavar="DIR",
    envvar="IMGSEARCH_STORE",
    callback=_at_home,
    shell_complete=complete_folders,
    help="The store's folder.  [default: in the user's data directory; env: IMGSEARCH_STORE]",
)

encoder_option = click.option(
    "--encoder",
    metavar="NAME",
    envvar="IMGSEARCH_ENCODER",
    callback=_at_home,
    shell_complete=complete_encoders,
    help="The encoder, by name or by its folder.  [default: the one that ships; env: IMGSEARCH_ENCODER]",
)


language_option = click.option(
    "--language",
    metavar="CODE",
    envvar="IMGSEARCH_LANGUAGE",
    shell_complete=complete_languages,
    help="The language of the text: en, ru, de ..., other, or auto.  [default: auto; env: IMGSEARCH_LANGUAGE]",
)

wait_option = click.option("--wait", is_flag=True, help="Wait for another process that writes to the store.")


def format_option(*formats: str) -> Callable[[Command], Command]:
    """Return the option `--format`, the first of `formats` being its default, and `--json` for `--format jsonl`."""

    def choose(context: click.Context, parameter: click.Parameter, value: str) -> str:
        if not context.meta.get(_JSON):
            return value
        if context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE and value != "jsonl":
            raise click.UsageError(f"--json and --format {value} exclude each other; leave one of the two out")
        return "jsonl"

    def options(command: Command) -> Command:
        command = click.option(
            "--json",
            is_flag=True,
            is_eager=True,  # before --format, whose value it is
            expose_value=False,
            callback=lambda context, _, value: context.meta.update({_JSON: value}),
            help="The same as --format jsonl.",
        )(command)
        return click.option(
            "--format",
            "output_format",
            type=click.Choice(formats),
            default=formats[0],
            show_default=True,
            callback=choose,
            help="How results are written to standard output.",
        )(command)

    return options


_JSON = "imgsearch.json"
"""Where `--json` leaves its value for `--format`."""

policy_option = click.option(
    "--policy",
    "policy_file",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="IMGSEARCH_POLICY",
    callback=_file_at_home,
    metavar="FILE",
    help="The compliance policy.  [default: the one that ships; env: IMGSEARCH_POLICY]",
)

no_policy_option = click.option(
    "--no-policy", is_flag=True, help="Withhold nothing; refused where the policy is mandatory."
)
