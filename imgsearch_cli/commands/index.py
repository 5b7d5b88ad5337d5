"""`imgsearch index PATH...`: bring the store in line with the photos on the disk."""

from __future__ import annotations

from pathlib import Path

import click

from imgsearch_cli import exits
from imgsearch_cli.options import encoder_option, policy_option, store_option


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path())
@store_option
@encoder_option
@policy_option
@click.option("--jobs", type=click.IntRange(1, 64), help="Threads that decode photos.  [default: one for each core]")
@click.option("--hidden", is_flag=True, help="Also look into files and folders whose names begin with a dot.")
@click.option("--prune-empty", is_flag=True, help="Forget the photos of a folder that holds none any more.")
@click.option("--strict", is_flag=True, help="Exit with 2 where a photo had to be skipped.")
@click.pass_context
def index(
    context: click.Context,
    paths: tuple[str, ...],
    store: str | None,
    encoder: str | None,
    policy_file: Path | None,
    jobs: int | None,
    hidden: bool,
    prune_empty: bool,
    strict: bool,
) -> None:
    r"""Index the photos below PATH...

    Only new and changed photos are embedded; moved ones are recognised by their content, and those that are gone are
    forgotten. A run that is interrupted is completed by the next one.

    \b
    imgsearch index ./test_images
    imgsearch index ~/Pictures /mnt/archive --store ~/photos.store
    """
    from imgsearch_cli.progress import progress_bar
    from imgsearch_cli.render import render_index_report, render_skipped
    from index_store.indexing import IndexOptions
    from index_store.upkeep import index_folders

    quiet = bool(context.obj["quiet"])
    options = IndexOptions(threads=jobs, hidden=hidden, prune_empty=prune_empty)
    with progress_bar("indexing", "photos", quiet=quiet) as advance:
        report = index_folders(
            paths, store=store, encoder=encoder, policy_file=policy_file, options=options, progress=advance
        )
    render_skipped(report)
    if not quiet:
        render_index_report(report)
    if strict and report.skipped:
        context.exit(exits.ERROR)
