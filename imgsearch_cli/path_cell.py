"""A path in a table: a link to the file where the terminal can follow one, broken at folders and not within words."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

from rich.cells import cell_len, chop_cells
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.style import Style
from rich.text import Text

_FOLDERS = re.compile(r"[^/]*/+|[^/]+")
_WORDS = re.compile(r"[^ _-]*[ _-]+|[^ _-]+")
_LEAST_CELLS = 12


class PathCell:
    """A path as people read it, and what is said behind it."""

    def __init__(self, shown: str, image_id: str, behind: Text | None = None) -> None:
        """Take the path as it is shown, the absolute one that it leads to, and what is said behind it."""
        self._shown = shown
        self._link = Style(link=Path(image_id).as_uri()) if image_id.startswith("/") else Style()
        self._behind = behind or Text()

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Ask for one line, and take a few cells."""
        whole = cell_len(self._shown) + self._behind.cell_len
        return Measurement(min(whole, _LEAST_CELLS), whole).with_maximum(options.max_width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the path, as many lines as it needs, and behind it on the last one what is said, if it fits."""
        width = options.max_width
        lines = _lines(self._shown, width)
        text = Text("\n", no_wrap=True).join(Text(line, self._link) for line in lines)
        if cell_len(lines[-1]) + self._behind.cell_len > width:
            yield text
            yield Text(str(self._behind).strip(), self._behind.spans[0].style if self._behind.spans else "")
        else:
            yield text + self._behind


def _lines(path: str, width: int) -> list[str]:
    """Return a path in lines of at most `width` cells, broken behind folders, in long names behind words."""
    return _filled(
        _FOLDERS.findall(path), width, lambda name: _filled(_WORDS.findall(name), width, partial(_cut, width))
    )


def _filled(pieces: list[str], width: int, broken: Callable[[str], list[str]]) -> list[str]:
    """Put pieces into lines; one that is too long for a line begins a new one, and is `broken` by itself."""
    lines = [""]
    for piece in pieces:
        if cell_len(lines[-1]) + cell_len(piece) <= width:
            lines[-1] += piece
        else:
            lines += broken(piece) if cell_len(piece) > width else [piece]
    return lines if lines[0] else lines[1:]


def _cut(width: int, word: str) -> list[str]:
    return chop_cells(word, width)
