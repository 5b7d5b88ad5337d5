"""`imgsearch move OLD NEW`: follow a folder that was moved."""

from __future__ import annotations

import click

from imgsearch_cli.options import encoder_option, store_option, wait_option
from imgsearch_cli.streams import say


@click.command()
@click.argument("old", type=click.Path())
@click.argument("new", type=click.Path())
@store_option
@encoder_option
@wait_option
@click.pass_context
def move(context: click.Context, old: str, new: str, store: str | None, encoder: str | None, wait: bool) -> None:
    """Tell the store that the folder OLD, or a photo, lies at NEW now. Nothing on the disk is moved or read.

    \b
    mv ~/Pictures /mnt/photos
    imgsearch move ~/Pictures /mnt/photos
    """
    from index_store.library import Library
    from index_store.photos.file_system import absolute

    count = Library(store, encoder, wait=wait).move(absolute(old), absolute(new))
    if not context.obj["quiet"]:
        say(f"{count} {'photo' if count == 1 else 'photos'} followed")
