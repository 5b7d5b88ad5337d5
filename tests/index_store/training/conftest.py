"""A tiny folder of judgements in the layout of with_sense."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

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
