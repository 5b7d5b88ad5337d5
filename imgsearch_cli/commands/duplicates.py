"""`imgsearch duplicates`: groups of photos that are equal, or nearly so."""

from __future__ import annotations

from pathlib import Path

import click

from imgsearch_cli import exits
from imgsearch_cli.options import (
    encoder_option,
    folders_option,
    format_option,
    no_policy_option,
    policy_option,
    store_option,
)
from imgsearch_cli.streams import say


@click.command()
@folders_option
@click.option("--equal", is_flag=True, help="Only files of equal content.")
@format_option("table", "jsonl", "paths")
@store_option
@encoder_option
@policy_option
@no_policy_option
@click.pass_context
def duplicates(
    context: click.Context,
    folders: tuple[str, ...],
    equal: bool,
    output_format: str,
    store: str | None,
    encoder: str | None,
    policy_file: Path | None,
    no_policy: bool,
) -> None:
    """List groups of equal and of nearly equal photos: another size, another compression, a burst.

    The best one, of the most pixels, then of the most bytes, stands first. Withheld photos are left out. With --format
    paths an empty line stands between groups. Nothing is deleted. The exit code is 1 where there are none.

    \b
    imgsearch duplicates
    imgsearch duplicates --in ~/Pictures/2021 --json
    """
    from index_store.machine import one_blas_thread

    one_blas_thread()
    from imgsearch_cli.progress import progress_bar
    from imgsearch_cli.render_duplicates import render_duplicates
    from index_store.queries.ask import Searcher

    searcher = Searcher(store, encoder=encoder, policy_file=policy_file, withhold=not no_policy)
    if no_policy:
        say("imgsearch: the compliance policy is off: nothing is withheld")
    with progress_bar("comparing", "photos", quiet=context.obj["quiet"]) as progress:
        groups = searcher.duplicates(folders, progress, equal=equal)
    if not groups:
        if not context.obj["quiet"]:
            say("no duplicates found")
        context.exit(exits.NOTHING_FOUND)
    render_duplicates(groups, output_format)
