"""`query`'s options for seeing what was found: a page, thumbnails in the terminal, the system's viewer."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from imgsearch_cli.streams import say
from index_store.errors import MissingExtraError, PhotoError

if TYPE_CHECKING:
    from index_store.records import Answer, Match

Command = TypeVar("Command", bound=Callable[..., Any])

_WANTED = "imgsearch.seeing"
"""Where the options leave what is wanted."""

MOST_OPENED = 20
"""Photos that are opened in the viewer at most: each may get a window of its own."""

_TILE_CELLS = 24
_TILE_LINES = 8
_TILE_PIXELS = 288, 192


_NO_PICTURES = (
    "imgsearch: this terminal shows neither pictures nor colours, so no thumbnails; --html makes a page of them"
)


class Seeing(NamedTuple):
    """What is wanted: the file of a page, thumbnails, the viewer."""

    html: str | None = None
    preview: bool = False
    viewer: bool = False


def seeing_options(command: Command) -> Command:
    """Add `--html`, `--preview` and `--open`; what they say is kept for `show_pictures`."""

    def keep(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
        def callback(context: click.Context, _parameter: click.Parameter, value: Any) -> None:
            context.meta[_WANTED] = context.meta.get(_WANTED, Seeing())._replace(**{name: value})

        return callback

    for option in (
        click.option(
            "--open", is_flag=True, expose_value=False, callback=keep("viewer"),
            help="Open what was found in the system's viewer, or the page of --html.",
        ),
        click.option(
            "--preview", is_flag=True, expose_value=False, callback=keep("preview"),
            help="Also draw thumbnails in the terminal.",
        ),
        click.option(
            "--html", metavar="FILE", type=click.Path(dir_okay=False), expose_value=False, callback=keep("html"),
            help="Also write a page with thumbnails, which needs nothing besides.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


def refuse_for_batch(context: click.Context) -> None:
    """Refuse the options together with `--batch`, which is for programs."""
    if context.meta.get(_WANTED, Seeing()) != Seeing():
        raise click.UsageError("--html, --preview and --open show one answer, not a batch; leave them out")


def show_pictures(context: click.Context, answer: Answer) -> None:
    """Do what the options ask for, before the answer itself is written.

    Raises:
        MissingExtraError: what draws thumbnails is not installed.
        UsageError, DecoderError: the page cannot be written, or no photo can be decoded.
    """
    wanted: Seeing = context.meta.get(_WANTED, Seeing())
    if wanted.html is not None:
        from index_store.pages.contact_sheet import write_page
        from index_store.paths import expanded

        write_page(answer, expanded(wanted.html))
    if wanted.preview and sys.stdout.isatty():
        _draw(answer)
    if wanted.viewer:
        _open(answer, wanted.html)


def _open(answer: Answer, page: str | None) -> None:
    """Open the page, or each photo that is still the one that was indexed: another picture has not been judged."""
    from index_store.paths import expanded

    paths = [os.path.abspath(expanded(page))] if page is not None else list(filter(None, map(_unchanged, answer)))
    if len(paths) > MOST_OPENED:
        say(f"imgsearch: of {len(paths)} photos {MOST_OPENED} are opened; -k says how many are wanted")
    for path in paths[:MOST_OPENED]:
        if click.launch(path) != 0:
            say("imgsearch: no viewer can be started here")
            return


def _unchanged(match: Match) -> str | None:
    from index_store.paths import is_address
    from index_store.photos.hashing import hash_file

    files = [path for path in match.paths if not is_address(path)]
    if not files:
        say(f"imgsearch: {match.path}: lies in object storage, where no viewer opens it; --html makes a page of it")
        return None
    for path in files:
        try:
            if hash_file(path) == match.content_hash:
                return path
        except PhotoError:
            continue
    say(f"imgsearch: {match.path}: is gone, or has changed since it was indexed")
    return None


def _draw(answer: Answer) -> None:
    """Draw the photos that are shown in rows, each above its rank."""
    if os.environ.get("TERM") == "dumb":  # to ask it would leave the question on the screen
        say(_NO_PICTURES)
        return
    try:
        # asks the terminal what it can draw
        from textual_image.renderable import HalfcellImage, Image, UnicodeImage
    except ImportError as error:
        raise MissingExtraError("thumbnails need textual-image: pip install 'imgsearch-cli[preview]'") from error
    from imgsearch_cli.output import stdout_console
    from index_store.photos.thumbnails import Thumbnails, strip

    console = stdout_console()
    if Image in (HalfcellImage, UnicodeImage) and (console.color_system is None or console.no_color):
        say(_NO_PICTURES)  # half blocks without colours are bars
        return
    matches, columns = list(answer), max(1, console.width // _TILE_CELLS)
    with closing(Thumbnails()) as thumbnails:
        for start in range(0, len(matches), columns):
            row = matches[start : start + columns]
            pictures = [thumbnails.picture(match.content_hash, match.paths, max(_TILE_PIXELS)) for match in row]
            console.print(
                Image(strip(pictures, *_TILE_PIXELS, gap=0), width=_TILE_CELLS * len(row), height=_TILE_LINES)
            )
            console.print("".join(str(match.rank).center(_TILE_CELLS) for match in row).rstrip())
