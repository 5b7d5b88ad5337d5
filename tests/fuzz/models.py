"""Folders of encoders with changed cards, networks, tokenizers, rules and rerankers: one line each."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from random import Random

from tests.fuzz.fuzzing import Target
from tests.fuzz.mutating import bytes_changed, json_bytes
from tests.fuzz.processes import expect_defined, prepare, run_command
from tests.fuzz.stores import paint

WEIGHTS = Path(__file__).parents[2] / "index_store" / "weights"
SECONDS = 60.0


class Models(Target):
    """An encoder's folder, valid but for a changed file; the card says the changed size."""

    name = "models"

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        prepare()
        self._base = scratch / "base"
        shutil.copytree(WEIGHTS / "encoder", self._base / "encoder")
        for kind in ("minors", "reranker"):
            shutil.copytree(WEIGHTS / kind, self._base / "encoder" / kind)
        (self._base / "photos").mkdir()
        paint(self._base / "photos" / "one.png", 1)

    def make(self, chance: Random, folder: Path) -> None:
        shutil.copytree(self._base, folder, dirs_exist_ok=True, copy_function=os.link)
        files = sorted(path for path in (folder / "encoder").rglob("*") if path.suffix in {".json", ".onnx", ".npz"})
        cards = [path for path in files if path.name == "card.json"]
        self._change(chance.choice((*files, *cards)), chance)
        self._rename(folder / "encoder")

    def _change(self, path: Path, chance: Random) -> None:
        content = path.read_bytes()
        if path.name == "card.json":
            content = json_bytes(json.loads(content), chance)
        elif path.suffix == ".json":
            # its vocabulary is most of it; what surrounds it is what can go wrong
            content = (
                json_bytes(json.loads(content), chance) if chance.random() < 0.5 else bytes_changed(content, chance)
            )
        elif chance.random() < 0.5:  # names and shapes of an ONNX file lie at its ends
            head, tail = content[:3000], content[-20_000:]
            content = bytes_changed(head, chance, 3) + content[3000:-20_000] + bytes_changed(tail, chance, 3)
        else:
            content = bytes_changed(content, chance)
        path.unlink()  # a link to the valid one
        path.write_bytes(content)

    def _rename(self, encoder: Path) -> None:
        """Make the card fit the files, and the encoder no longer the one that ships."""
        path = encoder / "card.json"
        try:
            card = json.loads(path.read_text())
            card["file_bytes"] = {name: (encoder / name).stat().st_size for name in card["file_bytes"]}
            text = json.dumps(card).replace("lite2-minilm-", "strange-")
        except (ValueError, TypeError, KeyError, AttributeError, OSError):
            return  # a broken card is a case too
        path.unlink()
        path.write_text(text)
        for kind in ("minors", "reranker"):
            inner = encoder / kind / "card.json"
            content = inner.read_bytes().replace(b"lite2-minilm-", b"strange-")
            inner.unlink()
            inner.write_bytes(content)

    def check(self, folder: Path) -> None:
        for arguments in (
            ("index", "photos", "--store", "store", "--encoder", "encoder"),
            ("query", "a cat", "--min-score", "0", "--store", "store", "--encoder", "encoder"),
            ("encoders",),
        ):
            expect_defined(run_command(arguments, folder, seconds=SECONDS))
