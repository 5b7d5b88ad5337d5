"""`imgsearch duplicates`: equal and nearly equal photos, the best one first, and nothing withheld among them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

NAMES = ("chelsea.png", "coffee.png", "rocket.jpg", "retina.jpg", "brick.png")


@pytest.fixture(scope="module")
def place(demo, imgsearch, tmp_path_factory) -> Path:
    """A folder with five photos, and altered copies of three of them; all are allowed by hand."""
    folder = tmp_path_factory.mktemp("duplicates")
    photos = folder / "photos"
    photos.mkdir()
    for name in NAMES:
        shutil.copyfile(demo / "test_images" / name, photos / name)
    shutil.copyfile(photos / "brick.png", photos / "wall.png")
    cat = Image.open(photos / "chelsea.png").convert("RGB")
    cat.resize((cat.width // 2, cat.height // 2)).save(photos / "half.jpg", quality=90)
    cat.save(photos / "low.jpg", quality=40)
    coffee = Image.open(photos / "coffee.png").convert("RGB")
    coffee.crop((30, 20, 600, 400)).save(photos / "crop.jpg", quality=90)
    assert imgsearch("index", "photos", "--store", "store", cwd=folder).returncode == 0
    assert imgsearch("policy", "allow", "photos", "--store", "store", cwd=folder).returncode == 0
    return folder


def groups(imgsearch, folder: Path, *arguments: str) -> list[list[str]]:
    done = imgsearch("duplicates", "--json", *arguments, "--store", "store", cwd=folder)
    return [[Path(photo["path"]).name for photo in json.loads(line)["photos"]] for line in done.stdout.splitlines()]


def test_copies_at_another_size_quality_or_crop_are_found_and_the_best_stands_first(imgsearch, place):
    found = groups(imgsearch, place)
    assert [(group[0], sorted(group[1:])) for group in found] == [
        ("brick.png", ["wall.png"]),
        ("chelsea.png", ["half.jpg", "low.jpg"]),
        ("coffee.png", ["crop.jpg"]),
    ]


def test_equal_leaves_out_what_is_nearly_equal(imgsearch, place):
    assert groups(imgsearch, place, "--equal") == [["brick.png", "wall.png"]]


def test_paths_have_an_empty_line_between_groups(imgsearch, place):
    done = imgsearch("duplicates", "--format", "paths", "--store", "store", cwd=place)
    assert [len(group.splitlines()) for group in done.stdout.split("\n\n")] == [2, 3, 2]
    assert all((place / line).is_file() for line in done.stdout.split())


def test_the_table_says_what_is_best_and_what_is_equal(imgsearch, place):
    done = imgsearch("duplicates", "--store", "store", cwd=place)
    lines = [line.split() for line in done.stdout.splitlines() if ".png" in line]
    assert lines[0][:3] == ["1", "photos/brick.png", "best"]
    assert lines[1][:2] == ["photos/wall.png", "equal"]


@pytest.mark.parametrize("how", ["by hand", "gone", "changed"])
def test_what_is_withheld_gone_or_changed_is_in_no_group(imgsearch, place, tmp_path, how):
    folder = tmp_path / "own"
    shutil.copytree(place, folder)
    at = ("--store", "store")
    assert imgsearch("index", "photos", *at, cwd=folder).returncode == 0
    if how == "by hand":
        assert imgsearch("policy", "withhold", "photos/chelsea.png", *at, cwd=folder).returncode == 0
    elif how == "gone":
        (folder / "photos" / "chelsea.png").unlink()
    else:
        (folder / "photos" / "chelsea.png").write_bytes((folder / "photos" / "retina.jpg").read_bytes())
    found = groups(imgsearch, folder, "--in", "photos")
    assert not [group for group in found if "chelsea.png" in group]
    assert ["brick.png", "wall.png"] in found


def test_no_duplicates_exit_1(imgsearch, place):
    done = imgsearch("duplicates", "--in", "photos", "--equal", "--store", "store", cwd=place)
    assert done.returncode == 0
    alone = imgsearch("duplicates", "--in", "nowhere", "--store", "store", cwd=place)
    assert (alone.returncode, alone.stderr) == (2, f"imgsearch: {place / 'nowhere'}: no photos are indexed there\n")
