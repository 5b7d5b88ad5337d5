"""The pictures that a terminal shows for what a program has written to it: half blocks, sixels, kitty's protocol."""

from __future__ import annotations

import base64
import io
import re
from collections import defaultdict

import numpy as np
from PIL import Image

SIXELS = {b"\x1b[c": b"\x1b[?62;4c"}
"""What a terminal answers that draws sixels, as iTerm2, foot and WezTerm do."""
KITTY = {b"\x1b[c": b"\x1b[?62c", b"\x1b_G": b"\x1b_Gi=1;OK\x1b\\"}
"""What kitty answers: no sixels, and its own protocol."""

_COLOURS = re.compile(r"\x1b\[((?:\d+;?)*)m|([▀▄])|(\n)")
_SIXEL = re.compile(r"\x1bP[\d;]*q(.*?)\x1b\\", re.DOTALL)
_STEP = re.compile(r'"[\d;]+;(\d+);(\d+)|#(\d+)(?:;2;(\d+);(\d+);(\d+))?|(?:!(\d+))?([?-~])|([$-])')
_KITTY = re.compile(r"\x1b_G([^;\x1b]*);([^\x1b]*)\x1b\\")


def pictures(shown: str, cells: tuple[int, int]) -> list[Image.Image]:
    """Return all pictures in what a terminal was sent; `cells` are columns and lines of one in half blocks."""
    return [*_sixels(shown), *_of_kitty(shown), *_half_blocks(shown, cells)]


def _half_blocks(shown: str, cells: tuple[int, int]) -> list[Image.Image]:
    """Return pictures of two pixels in a cell, one above the other."""
    columns, lines = cells
    rows: list[list[tuple[tuple[int, ...], tuple[int, ...]]]] = [[]]
    front = back = (0, 0, 0)
    for codes, block, _newline in _COLOURS.findall(shown):
        if codes:
            parts = [int(part) for part in codes.split(";") if part]
            for start in range(len(parts) - 4):
                if parts[start + 1] == 2 and parts[start] == 38:
                    front = tuple(parts[start + 2 : start + 5])
                elif parts[start + 1] == 2 and parts[start] == 48:
                    back = tuple(parts[start + 2 : start + 5])
        elif block:
            rows[-1].append((front, back) if block == "▀" else (back, front))
        elif rows[-1]:
            rows.append([])
    wide = [row for row in rows if len(row) == columns]
    pixels = np.asarray([[cell[half] for cell in row] for row in wide for half in (0, 1)], dtype=np.uint8)
    return [Image.fromarray(pixels[at : at + 2 * lines]) for at in range(0, len(pixels), 2 * lines)]


def _sixels(shown: str) -> list[Image.Image]:
    found = []
    for (body,) in (match.groups() for match in _SIXEL.finditer(shown)):
        colours: dict[str, tuple[int, ...]] = {}
        pixels, x, y, colour = np.zeros((0, 0, 3), np.uint8), 0, 0, "0"
        for width, height, number, *rgb, count, bits, move in _STEP.findall(body):
            if width:
                pixels = np.zeros((int(height) + 6, int(width) + 1, 3), np.uint8)
                size = int(width), int(height)
            elif number:
                colour = number
                if rgb[0]:
                    colours[number] = tuple(round(int(part) * 2.55) for part in rgb)
            elif bits:
                until = x + int(count or 1)
                for bit in range(6):
                    if (ord(bits) - 63) >> bit & 1:
                        pixels[y + bit, x:until] = colours[colour]
                x = until
            else:
                x, y = 0, y + 6 * (move == "-")
        found.append(Image.fromarray(pixels).crop((0, 0, *size)))
    return found


def _of_kitty(shown: str) -> list[Image.Image]:
    """Return what was sent as PNG in pieces, by the picture's number."""
    sent: defaultdict[str, str] = defaultdict(str)
    for keys, payload in _KITTY.findall(shown):
        values = dict(pair.split("=") for pair in keys.split(","))
        if values.get("f") == "100":
            sent[values["i"]] += payload
    return [Image.open(io.BytesIO(base64.b64decode(content))) for content in sent.values()]
