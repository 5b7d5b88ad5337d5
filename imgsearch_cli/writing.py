"""How anything is written: the console of results, paths made safe for terminals and scripts, JSON lines, facts."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping

import click
from rich.console import Console
from rich.table import Table

_UNBOUNDED = 100_000


def stdout_console() -> Console:
    """Return the console for results; in a pipe lines are as long as they need to be."""
    return Console(highlight=False, soft_wrap=False, width=None if sys.stdout.isatty() else _UNBOUNDED)


def relative(path: str) -> str:
    """Return `path` relative to the working directory where it lies below it, else as it is."""
    here = os.getcwd().rstrip(os.sep) + os.sep
    return path[len(here) :] if path.startswith(here) else path


def printable(path: str) -> str:
    """Return a path as a terminal may show it: control characters and bytes that are no text are escaped."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def write_json(row: Mapping[str, object]) -> None:
    """Write one JSON object as a line; bytes of a path that are no UTF-8 become lone surrogate escapes."""
    line = json.dumps(row, ensure_ascii=False)
    try:
        line.encode("utf-8")
    except UnicodeEncodeError:
        line = json.dumps(row)
    click.echo(line.encode("utf-8"))


def one_field(image_id: str) -> bytes:
    """Return a shown path as a field of a tab-separated line: backslash, tab and line ends are escaped."""
    path = os.fsencode(relative(image_id))
    for raw, escaped in ((b"\\", b"\\\\"), (b"\t", b"\\t"), (b"\n", b"\\n"), (b"\r", b"\\r")):
        path = path.replace(raw, escaped)
    return path


def render_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Write names and values as a table without lines."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(name, value)
    stdout_console().print(table)
