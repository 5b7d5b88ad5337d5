"""Every picture of a file that people would see is looked at, up to sixteen."""

from __future__ import annotations

import io
import resource

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import AppendingTiffWriter

from index_store.photos import frames as frames_module
from index_store.photos.frames import chosen
from index_store.photos.open import open_photo
from index_store.records import PhotoInput
from tests.pictures import QUADRANTS, difference, exif_of, lying, saved

WANTED = PhotoInput(8)
COLOURS = [(250, 10, 10), (10, 250, 10), (10, 10, 250), (250, 250, 10)]
FAMILIES = {
    "GIF": {"duration": 100},
    "WEBP": {"lossless": True},
    "PNG": {"duration": 100},
    "TIFF": {},
    "MPO": {"quality": 95},
    "AVIF": {"quality": 90},
    "HEIF": {"quality": 95},
}


def colours_of(opened) -> list[tuple[int, ...]]:
    """Return the nearest of the painted colours for each picture of a file, the first picture first."""
    shown = [picture[4, 4] for picture in (opened.pixels, *opened.frames)]
    return [min(COLOURS, key=lambda colour: np.abs(np.subtract(colour, one.astype(int))).sum()) for one in shown]


def moving(family: str, count: int, size=(32, 24), **options) -> bytes:
    pictures = [Image.new("RGB", size, COLOURS[number % len(COLOURS)]) for number in range(count)]
    return saved(pictures[0], family, save_all=True, append_images=pictures[1:], **FAMILIES[family], **options)


@pytest.mark.parametrize("family", FAMILIES)
def test_all_frames_of_a_file_come_out(tmp_path, family):
    count = 3 if family == "MPO" else 4  # Pillow writes wrong places for more
    (tmp_path / "a").write_bytes(moving(family, count))
    opened = open_photo(str(tmp_path / "a"), WANTED)
    assert colours_of(opened) == COLOURS[:count]
    assert not opened.unseen
    assert (opened.width, opened.height) == (32, 24)


@pytest.mark.parametrize("family", ["GIF", "WEBP", "PNG", "TIFF"])
def test_one_frame_among_many_is_seen_wherever_it_is_looked_at(tmp_path, family):
    # the last of forty is always among those that are looked at
    pictures = [Image.new("RGB", (16, 16), (200, 200, number * 4)) for number in range(39)]
    pictures.append(Image.new("RGB", (16, 16), COLOURS[0]))
    options = FAMILIES[family]
    (tmp_path / "a").write_bytes(saved(pictures[0], family, save_all=True, append_images=pictures[1:], **options))
    opened = open_photo(str(tmp_path / "a"), WANTED)
    assert len(opened.frames) == 15
    assert colours_of(opened)[-1] == COLOURS[0]


def test_frames_are_taken_evenly_with_the_first_and_the_last():
    assert chosen(1) == [0]
    assert chosen(16) == list(range(16))
    assert chosen(31) == list(range(0, 31, 2))
    for count in (17, 100, 12345):
        places = chosen(count)
        assert (len(set(places)), places[0], places[-1]) == (16, 0, count - 1)
        assert max(np.diff(places)) - min(np.diff(places)) <= 1


def test_frames_that_are_equal_are_looked_at_once(tmp_path):
    pictures = [Image.new("RGB", (16, 16), COLOURS[0])] * 3
    (tmp_path / "a.tif").write_bytes(saved(pictures[0], "TIFF", save_all=True, append_images=pictures[1:]))
    opened = open_photo(str(tmp_path / "a.tif"), WANTED)
    assert (opened.frames, opened.unseen) == ((), False)


def test_previews_and_masks_among_the_pages_of_a_tiff_are_no_pictures(tmp_path):
    buffer = io.BytesIO()
    with AppendingTiffWriter(buffer) as writer:
        for number, subfile in enumerate((0, 1, 4, 0)):
            Image.new("RGB", (16, 16), COLOURS[number]).save(writer, "TIFF", tiffinfo={254: subfile})
            writer.newFrame()
    (tmp_path / "a.tif").write_bytes(buffer.getvalue())
    assert colours_of(open_photo(str(tmp_path / "a.tif"), WANTED)) == [COLOURS[0], COLOURS[3]]


@pytest.mark.parametrize("family", ["GIF", "TIFF", "MPO"])
def test_a_file_whose_later_frames_are_broken_is_marked_unseen(tmp_path, family):
    # noise, so that a frame takes room
    chance = np.random.default_rng(0)
    pictures = [Image.fromarray(chance.integers(0, 256, (64, 64, 3), dtype=np.uint8)) for _ in range(3)]
    content = bytearray(saved(pictures[0], family, save_all=True, append_images=pictures[1:], **FAMILIES[family]))
    if family == "TIFF":
        del content[-9000:-200]
    elif family == "MPO":
        second = content.find(b"\xff\xd8\xff", 4)
        content[second + 3 : second + 300] = bytes(297)
    else:
        middle = len(content) * 3 // 5
        content[middle : middle + len(content) // 4] = bytes(len(content) // 4)
    (tmp_path / "a").write_bytes(content)
    assert open_photo(str(tmp_path / "a"), WANTED).unseen


def test_a_frame_that_is_far_larger_than_its_animation_takes_no_memory(tmp_path):
    content = bytearray(moving("GIF", 3))
    second = content.find(b"\x2c", content.find(b"\x2c") + 1)
    while content[second - 1] != 0:  # a comma among the picture's numbers
        second = content.find(b"\x2c", second + 1)
    content[second + 5 : second + 9] = b"\xff" * 4
    (tmp_path / "a.gif").write_bytes(content)
    tracked = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert open_photo(str(tmp_path / "a.gif"), WANTED).unseen
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - tracked < 400_000


def test_frames_that_cost_too_much_are_marked_unseen(tmp_path, monkeypatch):
    monkeypatch.setattr(frames_module, "MOST_FRAME_PIXELS", 32 * 24 * 2)
    (tmp_path / "a.gif").write_bytes(moving("GIF", 4))
    opened = open_photo(str(tmp_path / "a.gif"), WANTED)
    assert colours_of(opened) == COLOURS[:3]
    assert opened.unseen


def test_a_list_of_frames_whose_frames_an_editor_dropped_is_no_reason_to_withhold(tmp_path):
    content = moving("MPO", 2)
    second = content.find(b"\xff\xd8\xff", 4)
    (tmp_path / "a.jpg").write_bytes(content[:second])
    opened = open_photo(str(tmp_path / "a.jpg"), WANTED)
    assert (opened.frames, opened.unseen, opened.note) == ((), False, "")


def test_a_heif_with_a_track_that_is_not_decoded_is_marked_unseen(tmp_path):
    content = saved(Image.new("RGB", (32, 24), COLOURS[0]), "HEIF")
    (tmp_path / "a.heic").write_bytes(content + b"\0\0\0\x10moov" + bytes(8))
    assert open_photo(str(tmp_path / "a.heic"), WANTED).unseen
    (tmp_path / "b.heic").write_bytes(content)
    assert not open_photo(str(tmp_path / "b.heic"), WANTED).unseen


def test_later_frames_stand_upright_as_the_first_does(tmp_path):
    darker = lying(6).point(lambda value: value // 2)
    content = saved(lying(6), "MPO", save_all=True, append_images=[darker], exif=exif_of(6), quality=95)
    (tmp_path / "a.jpg").write_bytes(content)
    opened = open_photo(str(tmp_path / "a.jpg"), PhotoInput(32))
    assert difference(opened.frames[0], [[value // 2 for value in colour] for colour in QUADRANTS]) < 10
