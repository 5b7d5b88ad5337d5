"""`imgsearch serve`: search in the browser, on this machine."""

from __future__ import annotations

from pathlib import Path

import click

from imgsearch_cli.options import encoder_option, language_option, policy_option, store_option
from index_store.errors import MissingExtraError


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="The port; 0 takes any.")
@click.option(
    "--host",
    metavar="ADDRESS",
    help="Listen on this address, also for other machines; the link then has a token.  [default: this machine alone]",
)
@click.option("--open", "open_page", is_flag=True, help="Open the page in the browser.")
@language_option
@store_option
@encoder_option
@policy_option
@click.pass_context
def serve(
    context: click.Context,
    port: int,
    host: str | None,
    open_page: bool,
    language: str | None,
    store: str | None,
    encoder: str | None,
    policy_file: Path | None,
) -> None:
    """Search in the browser: a page on this machine, until Ctrl-C.

    The page answers as you type, shows the photos, finds more like one of them, or like one that you drop on it. It
    sees what is indexed meanwhile, and loads nothing from elsewhere. Withheld photos are not in it.

    \b
    imgsearch serve
    imgsearch serve --open --store ~/photos.store
    imgsearch serve --host 0.0.0.0 --port 8080
    """
    from index_store.machine import one_blas_thread

    one_blas_thread()
    try:
        from imgsearch_cli.serve.server import serve_page
    except ImportError as error:
        raise MissingExtraError(
            f"the web page needs {(error.name or '').partition('.')[0]}: pip install 'imgsearch-cli[serve]'"
        ) from error

    context.exit(serve_page(store, encoder, policy_file, host, port, language, open_page=open_page))
