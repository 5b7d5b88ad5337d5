"""`imgsearch forget PATH...`: drop photos from the store; the files stay."""

from __future__ import annotations

import os

import click

from imgsearch_cli.options import encoder_option, store_option, wait_option
from imgsearch_cli.streams import say


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
    from index_store.library import Library
    from index_store.photos.file_system import absolute, exists
    from index_store.photos.ignore import IGNORE_FILE

    library, named = Library(store, encoder, wait=wait), [absolute(path) for path in paths]
    dropped = library.forget(named)
    library.give_space_back()
    if context.obj["quiet"]:
        return
    say(f"{dropped} {'photo' if dropped == 1 else 'photos'} forgotten")
    for path, root in library.roots_above([path for path in named if exists(path)]):
        say(
            f"{path}: lies in {root}, so the next 'imgsearch index' takes its photos in again; "
            f"to keep them out, name it in {os.path.join(root, IGNORE_FILE)}"
        )
