from __future__ import annotations

import os
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from index_store.decoding import Decoder, decode_ahead
from index_store.encoders.protocols import PhotoInput
from index_store.errors import PhotoError, PhotoUnreadableError
from index_store.photos import open_photo
from index_store.planning import EncodingJob
from index_store.records import OpenedPhoto, PhotoFile

SQUASHED = PhotoInput(side=16)

# the real worker, which dies or hangs at photos of certain names as a broken decoder would
FRAGILE = (
    sys.executable,
    "-c",
    """
import os, time
from index_store import decoding, photos
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
