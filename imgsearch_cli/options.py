"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from index_store.paths import expanded

Command = TypeVar("Command", bound=Callable[..., Any])


def _at_home(_context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Replace a leading `~`, which the shell leaves alone in --store=~/x and in quotes; refuse an empty name."""
    if value == "":
        raise click.BadParameter("is empty", param=parameter)
    return None if value is None else expanded(value)


def _file_at_home(_context: click.Context, _parameter: click.Parameter, value: Path | None) -> Path | None:
    return None if value is None else Path(expanded(str(value)))


store_option = click.option(
    "--store",
    metavar="DIR",
    envvar="IMGSEARCH_STORE",
    callback=_at_home,
    help="The store's folder.  [default: in the user's data directory; env: IMGSEARCH_STORE]",
)

encoder_option = click.option(
    "--encoder",
    metavar="NAME",
    envvar="IMGSEARCH_ENCODER",
    callback=_at_home,
    help="The encoder, by name or by its folder.  [default: the one that ships; env: IMGSEARCH_ENCODER]",
)


wait_option = click.option("--wait", is_flag=True, help="Wait for another process that writes to the store.")


def format_option(*formats: str) -> Callable[[Command], Command]:
    """Return the option `--format`, the first of `formats` being its default."""
    return click.option(
        "--format",
        "output_format",
        type=click.Choice(formats),
        default=formats[0],
        show_default=True,
        help="How results are written to standard output.",
    )


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
