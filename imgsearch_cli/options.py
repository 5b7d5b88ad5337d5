"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

store_option = click.option(
    "--store",
    metavar="DIR",
    envvar="IMGSEARCH_STORE",
    help="The store's folder.  [default: in the user's data directory; env: IMGSEARCH_STORE]",
)

encoder_option = click.option(
    "--encoder",
    metavar="NAME",
    envvar="IMGSEARCH_ENCODER",
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
    metavar="FILE",
    help="The compliance policy.  [default: the one that ships; env: IMGSEARCH_POLICY]",
)

no_policy_option = click.option(
    "--no-policy", is_flag=True, help="Withhold nothing; refused where the policy is mandatory."
)
