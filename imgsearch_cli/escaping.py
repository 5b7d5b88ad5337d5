"""Make paths and foreign texts safe for terminals and scripts; standard library only."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress


def printable(text: str) -> str:
    """Return a text or path as a terminal may show it.

    Control characters (C0, C1, those that turn the direction of writing), unassigned ones and bytes that are no text
    are escaped, so that no file name, server or model can move the cursor or hide what follows.
    """
    if text.isprintable():
        return text
    with suppress(UnicodeEncodeError):  # a lone surrogate that stands for no byte
        text = os.fsencode(text).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def json_line(row: Mapping[str, object]) -> str:
    """Return an object as one line of JSON in which all that is not printable is escaped.

    Bytes of a path that are no UTF-8 become lone surrogate escapes, as Python reads them.
    """
    line = json.dumps(row, ensure_ascii=False)
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in line)


def relative(path: str) -> str:
    """Return `path` relative to the working directory where it lies below it, else as it is.

    What would begin with a dash begins with `./`: a program that is given it shall not take it for an option.
    """
    try:
        here = os.getcwd().rstrip(os.sep) + os.sep
    except OSError:  # the working directory was deleted
        return path
    inside = path[len(here) :] if path.startswith(here) else path
    return os.path.join(os.curdir, inside) if inside.startswith("-") else inside


def one_field(path: str) -> str:
    """Return a path as a field of a tab-separated line: backslash, tab and line ends are escaped."""
    for raw, escaped in (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r")):
        path = path.replace(raw, escaped)
    return path
