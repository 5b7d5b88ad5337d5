from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from index_store.errors import PhotoError, PhotoUnreadableError
from index_store.photos import decoder_workers as decoding
from index_store.photos.decoder_workers import Decoder, decode_ahead
from index_store.photos.open import open_photo
from index_store.records import EncodingJob, OpenedPhoto, PhotoFile, PhotoInput
from tests.pictures import exif_of, saved

SQUASHED = PhotoInput(side=16)

# the real worker, which dies or hangs at photos of certain names as a broken decoder would
FRAGILE = (
    sys.executable,
    "-c",
    """
import os, time
from index_store.photos import decoder_workers as decoding
from index_store.photos import open as photos
real = photos.open_photo
def fragile(path, wanted):
    name = os.path.basename(path)
    if "crash" in name: os.abort()
    if "hang" in name: time.sleep(60)
    if "lie" in name: os.write(1, b"nonsense\\n")
    return real(path, wanted)
photos.open_photo = fragile
decoding.work()
""",
)


@pytest.fixture
def fragile():
    with closing(Decoder(FRAGILE)) as decoder:
        yield decoder


def test_a_worker_decodes_as_this_process_would(paint):
    path = str(paint("caf\N{LATIN SMALL LETTER E WITH ACUTE} 'x'\n.png", "blue", size=(40, 20)))
    with closing(Decoder()) as decoder:
        ours, here = decoder.decode(path, PhotoInput(16, squash=False)), open_photo(path, PhotoInput(16, squash=False))
    assert np.array_equal(ours.pixels, here.pixels)
    assert (ours.file, ours.width, ours.height) == (here.file, here.width, here.height)


def test_all_that_is_known_of_a_photo_comes_out_of_the_worker(tmp_path):
    pictures = [Image.new("RGB", (32, 24), colour) for colour in ("red", "lime", "blue")]
    exif = exif_of(6, make="Canon", model="Canon EOS R5", taken="2021:06:14 12:30:00")
    path = tmp_path / "a.webp"
    path.write_bytes(saved(pictures[0], "WEBP", save_all=True, append_images=pictures[1:], exif=exif, lossless=True))
    with closing(Decoder()) as decoder:
        ours = decoder.decode(str(path), PhotoInput(16, squash=False))
    assert (ours.taken, ours.camera) == ("2021-06-14T12:30:00", "Canon EOS R5")
    assert (ours.width, ours.height, ours.unseen, ours.note, ours.faults) == (24, 32, False, "", "")
    assert [picture.shape for picture in (ours.pixels, *ours.frames)] == [(21, 16, 3)] * 3
    assert [picture[3, 3].tolist() for picture in ours.frames] == [[0, 255, 0], [0, 0, 255]]


def test_notes_and_faults_come_out_of_the_worker(tmp_path, paint):
    path = paint("a.jpg", size=(64, 64), quality=95)
    path.write_bytes(path.read_bytes()[:-2])
    with closing(Decoder()) as decoder:
        assert decoder.decode(str(path), SQUASHED).note.startswith("is cut short: ")
        (tmp_path / "b.jpg").write_bytes(saved(Image.new("RGB", (8, 8)), "JPEG", exif=b"Exif\0\0MM\x13*", dpi=(72, 72)))
        assert decoder.decode(str(tmp_path / "b.jpg"), SQUASHED).faults == "its EXIF cannot be read"


@pytest.mark.parametrize("name", ["numpy.py", "index_store.py", "json.py", "PIL.py", "sitecustomize.py"])
@pytest.mark.parametrize("options", [[], ["-m"]], ids=["command", "module"])
def test_python_files_among_the_photos_are_never_run(tmp_path, paint, name, options):
    photo = paint("a.png")
    (tmp_path / name).write_text(f"open({str(tmp_path / 'was_run')!r}, 'w').close()\nraise SystemExit(3)\n")
    script = (
        "import os, sys\n"
        "from index_store.photos.decoder_workers import Decoder\n"
        "from index_store.encoders.protocols import PhotoInput\n"
        f"os.chdir({str(tmp_path)!r}); sys.path.insert(0, '')\n"
        f"{'sys.path.insert(0, os.getcwd())' if options else ''}\n"
        f"decoder = Decoder(); print(decoder.decode({str(photo)!r}, PhotoInput(16)).width); decoder.close()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == ("32\n", "")
    assert not (tmp_path / "was_run").exists()


def test_what_a_worker_says_cannot_act_on_a_terminal(paint):
    speaking = """
from index_store.photos import decoder_workers as decoding
from index_store.photos import open as photos
from dataclasses import replace
real = photos.open_photo
def evil(path, wanted):
    return replace(real(path, wanted), camera="a\\x1b[31m\\n", taken="\\x07" + "9" * 500, note="\\u202e!")
photos.open_photo = evil
decoding.work()
"""
    with closing(Decoder((sys.executable, "-c", speaking))) as decoder:
        opened = decoder.decode(str(paint("a.png")), SQUASHED)
    assert (opened.camera, opened.taken, opened.note) == ("a[31m", "9" * 199, "!")


@pytest.mark.parametrize("path", ["", ".", "lib"])
def test_relative_places_on_the_import_path_are_not_handed_over(monkeypatch, path):
    monkeypatch.setattr(sys, "path", [path, *sys.path])
    assert all(os.path.isabs(place) for place in decoding._import_path())


def test_a_worker_starts_where_the_working_directory_is_gone(tmp_path, paint):
    photo, gone = paint("a.png"), tmp_path / "gone"
    gone.mkdir()
    script = (
        "import os\n"
        "from index_store.photos.decoder_workers import Decoder\n"
        "from index_store.encoders.protocols import PhotoInput\n"
        f"os.chdir({str(gone)!r}); os.rmdir({str(gone)!r})\n"
        f"decoder = Decoder(); print(decoder.decode({str(photo)!r}, PhotoInput(16)).width); decoder.close()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == ("32\n", "")


def test_names_that_are_no_utf8_reach_the_worker(tmp_path, paint):
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")
    paint("a.png").rename(odd)
    with closing(Decoder()) as decoder:
        assert decoder.decode(odd, SQUASHED).file.image_id == odd


def test_reasons_come_back_with_their_kind(tmp_path):
    (tmp_path / "a.jpg").touch()
    with closing(Decoder()) as decoder:
        with pytest.raises(PhotoError, match="^is an empty file$"):
            decoder.decode(str(tmp_path / "a.jpg"), SQUASHED)
        with pytest.raises(PhotoUnreadableError, match="^no such file or directory$"):
            decoder.decode(str(tmp_path / "b.jpg"), SQUASHED)


def test_a_crash_costs_one_photo(fragile, paint):
    with pytest.raises(PhotoError, match=r"^broke the decoder \(Aborted\)$"):
        fragile.decode(str(paint("crash.png")), SQUASHED)
    assert fragile.decode(str(paint("good.png")), SQUASHED).width == 32


def test_a_hang_costs_one_photo(paint):
    with closing(Decoder(FRAGILE, seconds=6)) as decoder:
        with pytest.raises(PhotoError, match="^took longer than 6 s to decode$"):
            decoder.decode(str(paint("hang.png")), SQUASHED)
        assert decoder.decode(str(paint("good.png")), SQUASHED).width == 32


def test_an_answer_that_is_none_costs_one_photo(fragile, paint):
    with pytest.raises(PhotoError, match="^broke the decoder"):
        fragile.decode(str(paint("lie.png")), SQUASHED)
    assert fragile.decode(str(paint("good.png")), SQUASHED).width == 32


def test_many_photos_come_back_in_order_whatever_happens_to_some(paint):
    names = [f"{i:02}{'crash' if i % 7 == 3 else ''}.png" for i in range(45)]
    jobs = [EncodingJob(PhotoFile(str(paint(n, size=(8 + i, 8))), 1, 1)) for i, n in enumerate(names)]
    with closing(decode_ahead(jobs, SQUASHED, 3, FRAGILE)) as outcomes:
        answers = list(outcomes)
    assert [job for job, _ in answers] == jobs
    for i, (job, outcome) in enumerate(answers):
        if "crash" in Path(job.file.image_id).name:
            assert str(outcome) == "broke the decoder (Aborted)"
        else:
            assert isinstance(outcome, OpenedPhoto)
            assert outcome.width == 8 + i


def test_leaving_early_ends_the_workers(paint):
    import psutil

    before = set(psutil.Process().children())
    jobs = [EncodingJob(PhotoFile(str(paint(f"{i}.png")), 1, 1)) for i in range(40)]
    with closing(decode_ahead(jobs, SQUASHED, 2)) as outcomes:
        next(outcomes)
    left = [p for p in set(psutil.Process().children()) - before if p.status() != psutil.STATUS_ZOMBIE]
    assert left == []
