"""A tiny folder of judgements in the layout of with_sense, and vectors in which relevance can be learned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from index_store.training.data.pairs import Pairs, Vectors
from index_store.training.reranker.models import Material

PHOTOS = ("a.jpg", "b.jpg", "c.jpg")


@pytest.fixture
def tables(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a folder: three photos, a text for each, judgements; any table can be replaced."""

    def write(**replaced: str | bytes | None) -> Path:
        folder = tmp_path / "with_sense"
        contents: dict[str, str | bytes | None] = {
            "train_dataset.csv": "image,query_id,query_text\n"
            + "".join(f"a.jpg,{photo}#0,the text of {photo}\n" for photo in PHOTOS),
            "ExpertAnnotations.tsv": "a.jpg\ta.jpg#0\t4\t4\t4\nb.jpg\ta.jpg#0\t1\t2\t2\nc.jpg\tb.jpg#0\t1\t2\t4\n",
            "CrowdAnnotations.tsv": "a.jpg\ta.jpg#0\t1\t3\t0\nb.jpg\tc.jpg#0\t0.3333333333333333\t1\t2\n",
            "test_queries.csv": "|query_id|query_text|image\n0|t.jpg#0|a tile|t.jpg\n",
            "test_images.csv": "image\nt.jpg\nu.jpg\n",
        }
        names = {name.replace(".", "_"): name for name in contents}
        contents |= {names[name]: content for name, content in replaced.items()}
        for photo in [*(f"train_images/{name}" for name in PHOTOS), "test_images/t.jpg", "test_images/u.jpg"]:
            path = folder / photo
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), "red").save(path)
        for name, content in contents.items():
            if content is not None:
                (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return folder

    return write


@pytest.fixture(scope="session")
def learnable() -> Material:
    """Sixty photos and thirty texts of twelve numbers; a pair's relevance rises with its cosine, with some noise."""
    chance = np.random.default_rng(0)

    def unit(count: int) -> np.ndarray:
        rows = chance.normal(size=(count, 12)).astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    photos = Vectors([f"p{number:02d}.jpg" for number in range(60)], unit(60))
    texts = Vectors([f"p{number:02d}.jpg#0" for number in range(30)], unit(30))
    text_places, photo_places = (chance.integers(0, count, 900) for count in (30, 60))
    cosines = np.einsum("ij,ij->i", texts.rows[text_places], photos.rows[photo_places])
    relevance = np.clip(0.4 + 0.6 * cosines + chance.normal(scale=0.05, size=900), 0, 1)
    pairs = Pairs(texts, photos, text_places, photo_places, relevance.astype(np.float64), np.ones(900))
    return Material(pairs)
