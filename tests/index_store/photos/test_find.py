from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from index_store.errors import UsageError
from index_store.photos.find import find_photos
from index_store.photos.open import open_photo
from index_store.records import FindOptions, PhotoInput

SQUASHED = PhotoInput(side=16)


def names(root: Path, **options: object) -> list[str]:
    return [os.path.relpath(photo.image_id, root) for photo in find_photos(str(root), FindOptions(**options)).files]


def test_find_photos_is_sorted_recursive_and_goes_by_content(tmp_path, paint):
    paint("b.jpg")
    paint("deep/er/a.png")
    paint("c.jpg").rename(tmp_path / "no_suffix")
    (tmp_path / "BMW notes.txt").write_text("BMW are cars, this is no bitmap")
    (tmp_path / "movie.mp4").write_bytes(b"\0" * 100)
    assert names(tmp_path) == ["b.jpg", "deep/er/a.png", "no_suffix"]


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "png", "webp", "bmp", "gif", "tiff"])
def test_every_format_is_found_without_its_suffix_and_opened(tmp_path, paint, suffix):
    bare = paint(f"photo.{suffix}", "red").rename(tmp_path / "photo")
    assert names(tmp_path) == ["photo"]
    opened = open_photo(str(bare), SQUASHED)
    assert (opened.width, opened.height, opened.pixels.shape, opened.pixels.dtype) == (32, 24, (16, 16, 3), np.uint8)
    assert np.abs(opened.pixels.astype(int) - [254, 0, 0]).max() <= 4


def test_hidden_files_are_found_only_when_asked_for(tmp_path, paint):
    paint(".hidden/a.jpg")
    paint(".b.jpg")
    assert names(tmp_path) == []
    assert names(tmp_path, hidden=True) == [".b.jpg", ".hidden/a.jpg"]


def test_links_to_files_are_followed_and_links_to_folders_are_not(tmp_path, paint):
    photo = paint("real/a.jpg")
    (tmp_path / "link.jpg").symlink_to(photo)
    (tmp_path / "real/loop").symlink_to(tmp_path)
    assert names(tmp_path) == ["link.jpg", "real/a.jpg"]


def test_a_link_to_itself_is_named_and_not_followed(tmp_path, paint):
    paint("a.jpg")
    (tmp_path / "self.jpg").symlink_to("self.jpg")
    found = find_photos(str(tmp_path))
    assert [photo.image_id for photo in found.files] == [str(tmp_path / "a.jpg")]
    assert [(Path(skip.path).name, skip.reason) for skip in found.skipped] == [
        ("self.jpg", "too many levels of symbolic links")
    ]


def test_names_that_are_no_utf8_survive(tmp_path):
    odd = os.fsencode(tmp_path) + b"/caf\xe9 \n'\"\xf0\x9f\x90\x95.jpg"
    Image.new("RGB", (8, 8)).save(tmp_path / "plain.jpg")
    os.rename(tmp_path / "plain.jpg", odd)
    [photo] = find_photos(str(tmp_path)).files
    assert os.fsencode(photo.image_id) == odd
    assert open_photo(photo.image_id, SQUASHED).width == 8


def test_links_to_folders_are_followed_once_when_asked_for(tmp_path, paint):
    paint("outside/b.jpg")
    root = tmp_path / "root"
    paint("root/a.jpg")
    (root / "to_outside").symlink_to(tmp_path / "outside")
    (root / "again").symlink_to(tmp_path / "outside")
    (root / "loop").symlink_to(root)
    assert names(root) == ["a.jpg"]
    found = names(root, follow_symlinks=True)
    assert len(found) == 2
    assert found[0] == "a.jpg" or found[1].endswith("b.jpg")


def test_excluded_patterns_follow_gitignore(tmp_path, paint):
    for name in ("a.jpg", "b.png", "trash/c.jpg", "deep/trash/d.jpg", "deep/keep.jpg"):
        paint(name)
    assert names(tmp_path, exclude=("trash/", "*.png")) == ["a.jpg", "deep/keep.jpg"]
    assert names(tmp_path, exclude=("/trash", "!deep")) == ["a.jpg", "b.png", "deep/keep.jpg", "deep/trash/d.jpg"]


def test_an_ignore_file_holds_for_its_folder_and_a_nearer_one_wins(tmp_path, paint):
    for name in ("a.jpg", "in/a.jpg", "in/b.jpg"):
        paint(name)
    (tmp_path / ".imgsearchignore").write_text("a.jpg\n# a remark\n")
    assert names(tmp_path) == ["in/b.jpg"]
    (tmp_path / "in" / ".imgsearchignore").write_text("!a.jpg\nb.jpg\n")
    assert names(tmp_path) == ["in/a.jpg"]


def test_a_pattern_that_is_none_is_refused(tmp_path, paint):
    paint("a.jpg")
    with pytest.raises(UsageError, match="--exclude: a pattern is not in gitignore's syntax"):
        names(tmp_path, exclude=("!",))


def test_a_folder_without_permission_is_named_and_its_photos_count_as_unreadable(tmp_path, paint):
    """Run without the capability that lets root read everything."""
    paint("closed/a.jpg")
    paint("b.jpg")
    (tmp_path / "closed").chmod(0)
    script = (
        "import sys; from index_store.photos.find import find_photos; f = find_photos(sys.argv[1]);"
        "print([p.image_id[-5:] for p in f.files], [s.reason for s in f.skipped], [u[-6:] for u in f.unreadable])"
    )
    without = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    try:
        done = subprocess.run(
            [*without, sys.executable, "-c", script, str(tmp_path)], check=True, capture_output=True, text=True
        )
    except FileNotFoundError:
        pytest.skip("needs setpriv, since root may read everything")
    finally:
        (tmp_path / "closed").chmod(0o755)
    assert done.stdout.strip() == "['b.jpg'] ['cannot be listed: permission denied'] ['closed']"


@pytest.mark.parametrize(("suffix", "options"), [("avif", {}), ("jp2", {}), ("heic", {})])
def test_newer_formats_are_found_by_content_and_opened(tmp_path, suffix, options):
    picture = Image.new("RGB", (64, 48), "red")
    if suffix == "heic":
        import pillow_heif

        pillow_heif.from_pillow(picture).save(tmp_path / "photo.heic", quality=90)
    else:
        picture.save(tmp_path / f"photo.{suffix}", **options)
    bare = (tmp_path / f"photo.{suffix}").rename(tmp_path / "photo")
    assert names(tmp_path) == ["photo"]
    opened = open_photo(str(bare), SQUASHED)
    assert (opened.width, opened.height) == (64, 48)
    assert np.abs(opened.pixels.astype(int) - [254, 0, 0]).max() <= 6
