"""`imgsearch status`: what a store holds and what it was built with."""

from __future__ import annotations

import os
from pathlib import Path

import click

from imgsearch_cli.options import encoder_option, format_option, policy_option, store_option


@click.command()
@store_option
@encoder_option
@policy_option
@format_option("table", "jsonl")
def status(store: str | None, encoder: str | None, policy_file: Path | None, output_format: str) -> None:
    """Show the store: place, photos, withheld, encoder, reranker, bytes on disk, time of the last index.

    \b
    imgsearch status
    imgsearch status --store ~/photos.store --format jsonl
    """
    from imgsearch_cli.render_store import render_status
    from index_store.upkeep import Library

    library = Library(store, encoder, policy_file)
    found = library.status()
    # a photo that was named by itself is a root
    hidden = {photo.image_id for photo in library.withheld()} if not all(map(os.path.isdir, found.roots)) else set()
    render_status(found, hidden, output_format)
