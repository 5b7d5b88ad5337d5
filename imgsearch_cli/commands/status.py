"""`imgsearch status`: what a store holds and what it was built with."""

from __future__ import annotations

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
    from index_store.library import Library

    render_status(Library(store, encoder, policy_file).status(), output_format)
