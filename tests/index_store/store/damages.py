"""What disks, crashes and hostile hands do to Chroma's vector files."""

from __future__ import annotations

import os
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path


class _Attack:
    """Runs a program where a pickle of it is read as pickles usually are."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch '{self._mark}'",)


def mark_of(folder: Path) -> Path:
    """The file that appears where the program in a pickle was run."""
    return folder.parent / "was-run"


def _cut(name: str) -> Callable[[Path], object]:
    return lambda folder: os.truncate(folder / name, (folder / name).stat().st_size // 2)


def _fill(name: str, byte: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(byte * (folder / name).stat().st_size)


def _write(name: str, offset: int, content: bytes) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        with (folder / name).open("r+b") as file:
            file.seek(offset)
            file.write(content)

    return write


FILES = ("header.bin", "data_level0.bin", "length.bin", "link_lists.bin", "index_metadata.pickle")

DAMAGES: dict[str, Callable[[Path], object]] = {
    "the folder is gone": shutil.rmtree,
    "the folder is empty": lambda folder: [file.unlink() for file in folder.iterdir()],
    **{f"{name} is gone": lambda folder, name=name: (folder / name).unlink() for name in FILES},
    **{f"{name} is cut": _cut(name) for name in FILES},
    **{f"{name} is empty": lambda folder, name=name: os.truncate(folder / name, 0) for name in FILES},
    **{f"{name} is full of ones": _fill(name, b"\xff") for name in FILES},
    **{f"{name} is full of zeros": _fill(name, b"\0") for name in ("header.bin", "data_level0.bin", "length.bin")},
    "one page of rows is zero": _write("data_level0.bin", 0, bytes(4096)),
    "a row links to one that is not there": _write("data_level0.bin", 4, struct.pack("<I", 10_000_000)),
    "a row has too many links": _write("data_level0.bin", 0, struct.pack("<H", 65_535)),
    "the first row to look at is not there": _write("header.bin", 56, struct.pack("<I", 4_000_000_000)),
    "room for more rows than memory holds": _write("header.bin", 12, struct.pack("<Q", 2**50)),
    "a pickle that runs a program": lambda folder: (folder / "index_metadata.pickle").write_bytes(
        pickle.dumps(_Attack(mark_of(folder)))
    ),
    "a pickle of something else": lambda folder: (folder / "index_metadata.pickle").write_bytes(pickle.dumps([1, 2])),
}


def journal_that_deletes(database: Path, victim: Path) -> None:
    """Write a journal whose rollback changes nothing in a database, and makes SQLite delete another file."""
    magic = bytes.fromhex("d9d505f920a163d7")
    content = database.read_bytes()
    size = int.from_bytes(content[16:18], "big")
    page, name = content[:size], os.fsencode(victim)
    header = magic + struct.pack(">5I", 1, 0, len(content) // size, 512, size)
    record = struct.pack(">I", 1) + page + struct.pack(">I", sum(page[size - 200 : 0 : -200]))
    lock_page = (1 << 30) // size + 1
    named = struct.pack(">I", lock_page) + name + struct.pack(">2I", len(name), sum(name)) + magic
    database.with_name(f"{database.name}-journal").write_bytes(header.ljust(512, b"\0") + record + named)
