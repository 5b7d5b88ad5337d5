"""Bytes of stores: damaged and tampered ones end every command with a defined code and one line."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from random import Random

import numpy as np

from index_store.records import BY_HAND
from tests.fuzz.fuzzing import FaultFound, Target
from tests.fuzz.mutating import HOSTILE, bytes_changed, json_changed
from tests.fuzz.processes import expect_defined, prepare, run_command
from tests.pictures import QUADRANTS

SECRET = "zqwithheldzq"
"""Part of the name of each photo that is withheld; no output of any command over the store may have it."""
MANY = 1_100
"""Rows from which on Chroma has written its files of vectors."""
DATABASE = "chroma.sqlite3"

COMMANDS: tuple[tuple[str, ...], ...] = (
    ("query", "a cat", "--min-score", "0", "--store", "store"),
    ("query", "a cat", "--min-score", "0", "-k", "2000", "--format", "jsonl", "--store", "store"),
    ("-vv", "query", "a cat", "--format", "paths", "--store", "store"),
    ("status", "--store", "store"),
    ("check", "--store", "store"),
    ("policy", "list", "--store", "store"),
    ("index", "--dry-run", "--store", "store"),
)
WRITING: tuple[tuple[str, ...], ...] = (
    ("index", "--store", "store"),
    ("check", "--repair", "--store", "store"),
    ("index", "photos", "--store", "store"),
    ("policy", "withhold", "photos", "--reason", "a test", "--store", "store"),
    ("forget", "photos", "--store", "store"),
)
NAMING = frozenset({"policy"})
"""The commands that name what is withheld, to who has to decide about it."""


class Stores(Target):
    """A small store and one with files of vectors, with changed pages, rows, vectors, manifests, roots, decisions."""

    name = "stores"

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        prepare()
        self._outside = scratch / "outside"
        self._outside.mkdir()
        paint(self._outside / "private.png", 9)
        self._bases = [self._build("small", 0), self._build("large", MANY)]

    def _build(self, name: str, extra: int) -> Path:
        base = self.scratch / name
        (base / "photos").mkdir(parents=True)
        for number in range(4):
            paint(base / "photos" / f"{SECRET if number % 2 else 'shown'}{number}.png", number)
        withheld = [f"photos/{SECRET}{number}.png" for number in (1, 3)]
        for arguments in (
            ("index", "photos", "--store", "store"),
            ("policy", "withhold", *withheld, "--store", "store"),
            ("policy", "allow", "photos/shown0.png", "photos/shown2.png", "--reason", "a test", "--store", "store"),
            ("query", "a cat", "--min-score", "0", "--store", "store"),
        ):
            done = run_command(arguments, base)
            if done.code != 0:
                raise RuntimeError(f"no store could be made: {done}")
        if extra:
            _in_child(lambda: _add_rows(base / "store", extra))
        return base

    def make(self, chance: Random, folder: Path) -> None:
        base = chance.choice(self._bases)
        shutil.copytree(base, folder, dirs_exist_ok=True, symlinks=True)
        for _ in range(chance.choice((1, 1, 1, 2, 4))):
            _change(folder / "store", chance, self._outside)
        (folder / "commands.json").write_text(json.dumps(_commands(chance)))

    def check(self, folder: Path) -> None:
        hidden = _still_withheld(folder / "store")
        for arguments in json.loads((folder / "commands.json").read_text()):
            done = run_command(arguments, folder, forbidden=self._outside)
            expect_defined(done)
            if hidden and arguments[0] not in NAMING and SECRET in done.said:
                raise FaultFound(f"{done.command!r} names a withheld photo: {done.said[-600:]!r}")


def _commands(chance: Random) -> list[Sequence[str]]:
    """Return two commands that read and, for every second case, one that writes and one that reads what it left."""
    commands: list[Sequence[str]] = chance.sample(COMMANDS, 2)
    return commands if chance.random() < 0.5 else [*commands, chance.choice(WRITING), chance.choice(COMMANDS)]


def paint(path: Path, number: int) -> None:
    from PIL import Image

    chance = np.random.default_rng(number)
    small = np.asarray(QUADRANTS, dtype=np.uint8).reshape(-1, 3)
    cells = small[chance.integers(len(small), size=(6, 6))]
    noise = chance.integers(0, 256, size=(6, 6, 3), dtype=np.uint8)
    Image.fromarray((cells // 2 + noise // 2).astype(np.uint8)).resize((48, 48), Image.Resampling.NEAREST).save(path)


def _in_child(work: object) -> None:
    """Do something in a process of its own, so that this one has no database open when it makes others by fork."""
    sys.stdout.flush()
    process = os.fork()
    if process == 0:
        code = 1
        try:
            work()  # type: ignore[operator]
            code = 0
        finally:
            os._exit(code)
    if os.waitpid(process, 0)[1]:
        raise RuntimeError("no store could be made")


def _add_rows(store: Path, count: int) -> None:
    """Add made-up photos in places where nothing lies, until Chroma has written its files of vectors."""
    from index_store.encoders.registry import encoder_card
    from index_store.records import PhotoFile, StoredPhoto, Verdict
    from index_store.store.image_store import open_store

    opened = open_store(str(store))
    chance = np.random.default_rng(1)
    rows = chance.normal(size=(count, opened.manifest.dimension)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    like = next(iter(opened.photos()))
    verdict = Verdict(False, 0.0, "", _rule(encoder_card().name), like.verdict.policy)
    photos = [
        StoredPhoto(f"{number:032x}", (PhotoFile(f"/nowhere/{number}.png", 1, 1, f"{number:032x}"),), 8, 8, verdict)
        for number in range(count)
    ]
    opened.upsert(photos, rows)


def _rule(encoder: str) -> str:
    from index_store.compliance.photo_rule import photo_rule_version
    from index_store.encoders.encoder_models import PHOTO_RULE, find_model

    folder = find_model(PHOTO_RULE, encoder, None)
    assert folder is not None
    return photo_rule_version(encoder, folder)


# -- changes ---------------------------------------------------------------------------------------------------------


def _change(store: Path, chance: Random, outside: Path) -> None:
    match chance.randrange(10):
        case 0:
            path = store / DATABASE
            path.write_bytes(bytes_changed(path.read_bytes(), chance, 3))
        case 1:
            _change_page(store / DATABASE, chance)
        case 2 | 3:
            _change_vectors(store, chance)
        case 4:
            path = chance.choice([path for path in sorted(store.iterdir()) if path.is_file()])
            path.write_bytes(chance.choice((b"", b"\0" * 100, bytes_changed(path.read_bytes(), chance, 3))))
        case _:
            try:
                _change_rows(store / DATABASE, chance, outside)
            except (sqlite3.Error, OverflowError, ValueError):
                _change_page(store / DATABASE, chance)  # an earlier change broke it


def _change_page(path: Path, chance: Random) -> None:
    content = bytearray(path.read_bytes())
    size = 4096
    if len(content) < size:
        return
    at = chance.randrange(len(content) // size) * size
    page = bytes(content[at : at + size])
    content[at : at + size] = bytes_changed(page, chance, 2).ljust(size, b"\0")[:size]
    path.write_bytes(content)


def _change_vectors(store: Path, chance: Random) -> None:
    files = sorted(path for folder in store.iterdir() if folder.is_dir() for path in folder.iterdir())
    if not files:
        _change_page(store / DATABASE, chance)
        return
    path = chance.choice(files)
    content = path.read_bytes()
    match chance.randrange(4):
        case 0:
            path.unlink()
        case 1 if path.suffix == ".pickle":
            labels = pickle.loads(content)
            path.write_bytes(pickle.dumps(json_changed(labels, chance), protocol=2))
        case _:
            path.write_bytes(bytes_changed(content, chance, 3))


def _change_rows(path: Path, chance: Random, outside: Path) -> None:
    """Change a fact of a row, a root, a decision or a manifest, in the table and in Chroma's log."""
    with closing(sqlite3.connect(path)) as database:
        database.text_factory = lambda content: content.decode("utf-8", "replace")
        table = chance.choice(("embedding_metadata", "embedding_metadata", "embedding_metadata", *_TABLES))
        rows = database.execute(f"SELECT rowid, * FROM {table}").fetchall()
        columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
        if not rows:
            return
        row = chance.choice(_interesting(rows))
        places = [place for place, value in enumerate(row[1:]) if value is not None]
        place = chance.choice(places)
        value = _changed_value(row[place + 1], chance, outside)
        if chance.random() < 0.1:
            database.execute(f"DELETE FROM {table} WHERE rowid = ?", (row[0],))
        else:
            database.execute(f"UPDATE {table} SET {columns[place]} = ? WHERE rowid = ?", (value, row[0]))
        database.commit()


_TABLES = (
    "collection_metadata",
    "collections",
    "segments",
    "max_seq_id",
    "embeddings",
    "embeddings_queue",
    "migrations",
)


def _interesting(rows: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """Leave out most of the rows that were made up, which are all alike."""
    few = [row for row in rows if "/nowhere/" not in str(row) and "0000000000" not in str(row)]
    return few or rows


def _changed_value(value: object, chance: Random, outside: Path) -> object:
    if isinstance(value, str):
        if value.startswith(("{", "[")) and chance.random() < 0.7:
            try:
                return json.dumps(json_changed(json.loads(value), chance))
            except ValueError:
                pass
        if chance.random() < 0.3:
            return str(outside) if chance.random() < 0.5 else str(outside / "private.png")
    if isinstance(value, bytes):
        return bytes_changed(value, chance, 2)
    new = chance.choice(HOSTILE)
    if isinstance(new, list | dict):
        return json.dumps(new)
    if isinstance(new, str):
        return new.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return new if not isinstance(new, int) or abs(new) < 2**63 else 2**63 - 1


def _still_withheld(store: Path) -> bool:
    """Return whether all that says what is withheld is as it was; who changes that has the photos anyway."""
    try:
        with closing(sqlite3.connect(f"file:{store / DATABASE}?mode=ro", uri=True)) as database:
            hands = database.execute(
                "SELECT COUNT(*) FROM embedding_metadata w JOIN embedding_metadata h ON w.id = h.id "
                "JOIN embedding_metadata e ON e.id = w.id JOIN embedding_metadata t ON t.id = w.id "
                "WHERE w.key = 'withheld' AND h.key = 'content_hash' AND e.key = 'embeddings' AND t.key = 'time' "
                "AND length(h.string_value) = 32 AND length(e.string_value) > 500"
            ).fetchone()[0]
            rows = database.execute(
                "SELECT string_value FROM embedding_metadata WHERE key = 'photo' AND string_value LIKE ?",
                (f"%{SECRET}%",),
            ).fetchall()
            asked = database.execute(
                "SELECT COUNT(*) FROM embedding_metadata WHERE key = 'withheld_up_to' AND float_value > 1"
            ).fetchone()[0]
    except (sqlite3.Error, UnicodeDecodeError):
        return True  # then the program has nothing either
    return (
        hands == 4 and asked >= 2 and all('"withheld":true' in row and f'"rule":"{BY_HAND}"' in row for (row,) in rows)
    )
