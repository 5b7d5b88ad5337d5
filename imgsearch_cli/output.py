"""How results are written to standard output: the console of tables, lines, JSON lines, facts."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping

from rich.console import Console
from rich.table import Table
from rich.text import Text

from imgsearch_cli.escaping import json_line, one_field, printable

_UNBOUNDED = 100_000


def stdout_console() -> Console:
    """Return the console for results; in a pipe lines are as long as they need to be.

    No text is read as markup: names of photos and folders may look like it.
    """
    width = None if sys.stdout.isatty() else _UNBOUNDED
    return Console(markup=False, emoji=False, highlight=False, soft_wrap=False, width=width)


def write_line(text: str) -> None:
    """Write a line of text."""
    sys.stdout.write(f"{printable(text)}\n")
    sys.stdout.flush()


def write_json(row: Mapping[str, object]) -> None:
    """Write an object as a line of JSON, in UTF-8 whatever the encoding of the terminal."""
    _write_bytes(json_line(row).encode() + b"\n")


def write_path(path: str, end: bytes = b"\n") -> None:
    """Write the bytes of a path; a terminal is shown control characters as escapes."""
    _write_bytes(_raw(_for_terminal(path)) + end)


def write_fields(*fields: str) -> None:
    """Write a tab-separated line."""
    _write_bytes(b"\t".join(_raw(_for_terminal(one_field(field))) for field in fields) + b"\n")


def can_show(text: str) -> bool:
    """Return whether the encoding of standard output has all characters of a text."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def render_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Write names and values as a table without lines."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(name, Text("\n".join(map(printable, value.split("\n")))))
    stdout_console().print(table)


def _for_terminal(path: str) -> str:
    return printable(path) if sys.stdout.isatty() else path


def _raw(path: str) -> bytes:
    try:
        return os.fsencode(path)
    except UnicodeEncodeError:  # a store that was made under another locale, or no path at all
        return path.encode("utf-8", "backslashreplace")


def _write_bytes(content: bytes) -> None:
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()
