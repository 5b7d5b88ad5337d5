"""Fixtures that several folders share: tiny real photos, an encoder that knows colours, the real data."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

# a worker of pytest-xdist has a core, and on the tiny networks of these tests torch's threads wait more than they work
os.environ.setdefault("OMP_NUM_THREADS", "1")

# a shell lets what it starts in the background ignore Ctrl-C, and so would the programs that the tests interrupt
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import numpy as np
import pytest
from PIL import Image

from index_store import machine
from index_store.records import PhotoInput, Verdict
from index_store.store.image_store import ImageStore, create_store
from index_store.store.manifest import Manifest
from tests.opened_once import share_what_ships

DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real photos, captions and judgements."""
    if not DATA.is_dir():
        pytest.skip(f"needs the data in {os.path.relpath(DATA)}, which is not here")
    return DATA


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the user's cache and data folders out: what another run has left there would be used."""
    os.environ["XDG_DATA_HOME"] = str(tmp_path_factory.mktemp("data"))
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session", autouse=True)
def shared_machine() -> Iterator[None]:
    """Open the models that ship once in this process, and leave the other cores to other workers of pytest-xdist."""
    with pytest.MonkeyPatch.context() as patch:
        share_what_ships(patch)
        patch.setattr(machine, "_share", [1] if "PYTEST_XDIST_WORKER" in os.environ else [])
        yield


@pytest.fixture
def paint(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a photo of one colour: paint("a/red.jpg", "red")."""

    def paint(name: str, colour: str = "red", size: tuple[int, int] = (32, 24), **options: object) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, colour).save(path, **options)
        return path

    return paint


class ColourEncoder:
    """Encodes a photo as the direction of its mean colour, a text as that of the colour it names; counts its work."""

    name = "colours-1"
    dimension = 4
    photo_input = PhotoInput(side=8)
    colours: ClassVar = {"red": (255, 0, 0), "lime": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}

    def __init__(self) -> None:
        self.photos_encoded = 0

    def encode_photos(self, photos: Sequence[np.ndarray]) -> np.ndarray:
        self.photos_encoded += len(photos)
        return self._unit([photo.reshape(-1, 3).mean(axis=0) for photo in photos])

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        return self._unit([np.asarray(self.colours[text]) for text in texts])

    def _unit(self, colours: Sequence[np.ndarray]) -> np.ndarray:
        rows = np.asarray([[*colour, 1.0] for colour in colours], dtype=np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def encoder() -> ColourEncoder:
    return ColourEncoder()


def content_of(path: str) -> str:
    """A content hash for a made-up photo: no other path has it."""
    return hashlib.blake2b(os.fsencode(path), digest_size=16).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    """An empty store for the colour encoder."""
    return create_store(str(tmp_path / "store"), Manifest(ColourEncoder.name, ColourEncoder.dimension))


def judge_white_as_withheld(embeddings: np.ndarray) -> list[Verdict]:
    """A rule for photos that withholds what is nearly white."""
    likeness = embeddings[:, :3].min(axis=1)
    return [
        Verdict(bool(v > 0.5), float(min(max(v, 0), 1)), "white" if v > 0.5 else "", "rule-1", "p") for v in likeness
    ]


@pytest.fixture
def judge() -> Callable[[np.ndarray], list[Verdict]]:
    return judge_white_as_withheld
