"""`imgsearch forget PATH...`: drop photos from the store; the files stay."""

from __future__ import annotations

import os

import click

from imgsearch_cli.options import encoder_option, store_option, wait_option


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(), metavar="PATH...")
@store_option
@encoder_option
@wait_option
@click.pass_context
def forget(context: click.Context, paths: tuple[str, ...], store: str | None, encoder: str | None, wait: bool) -> None:
    """Drop the photos at or below PATH... from the store; the files themselves are left alone.

    \b
    imgsearch forget /mnt/old-archive
    """
    from index_store.upkeep import Library

    dropped = Library(store, encoder, wait=wait).forget([os.path.abspath(path) for path in paths])
    if not context.obj["quiet"]:
        click.echo(f"{dropped} photos forgotten", err=True)
