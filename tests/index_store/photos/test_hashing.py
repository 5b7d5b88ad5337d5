from __future__ import annotations

import hashlib
import os
import sys
import time

import pytest

from index_store.errors import PhotoError, PhotoUnreadableError
from index_store.indexing.plan import plan_changes
from index_store.photos.find import find_photos
from index_store.photos.hashing import MAX_FILE_BYTES, hash_file


def test_a_file_is_named_by_its_content(tmp_path):
    content = os.urandom(700_001)
    (tmp_path / "a").write_bytes(content)
    assert hash_file(str(tmp_path / "a")) == hashlib.blake2b(content, digest_size=16).hexdigest()
    (tmp_path / "empty").touch()
    assert hash_file(str(tmp_path / "empty")) == hashlib.blake2b(digest_size=16).hexdigest()


@pytest.mark.parametrize("size", [MAX_FILE_BYTES + 1, 1 << 41])
def test_a_file_above_the_limit_is_refused_before_it_is_read(tmp_path, size):
    path = tmp_path / "a.jpg"
    path.touch()
    os.truncate(path, size)
    started = time.process_time()
    with pytest.raises(PhotoError, match="^is larger than 1024 MiB$"):
        hash_file(str(path))
    assert time.process_time() - started < 0.2


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_file_that_holds_more_than_it_says_is_not_read_to_its_end(tmp_path):
    (tmp_path / "a.jpg").symlink_to("/proc/self/pagemap")
    with pytest.raises(PhotoUnreadableError, match="^is not a regular file$"):
        hash_file(str(tmp_path / "a.jpg"))


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["fifo", "device"])
def test_what_is_no_regular_file_is_never_waited_for(tmp_path, make):
    make(tmp_path / "a.jpg")
    with pytest.raises(PhotoUnreadableError, match="^is not a regular file$"):
        hash_file(str(tmp_path / "a.jpg"))


def test_a_plan_over_hostile_files_reads_none_of_them(tmp_path, paint):
    paint("good.jpg")
    for number in range(3):  # of one size, so that their content would have to tell them apart
        (tmp_path / f"sparse{number}.jpg").touch()
        os.truncate(tmp_path / f"sparse{number}.jpg", 1 << 41)
        (tmp_path / f"link{number}.jpg").symlink_to("/proc/self/pagemap")
        os.mkfifo(tmp_path / f"fifo{number}.jpg")
    started = time.process_time()
    found = find_photos(str(tmp_path))
    plan = plan_changes(found, {}, set())
    assert time.process_time() - started < 1
    assert {skip.reason for skip in found.skipped} == {"is larger than 1024 MiB", "is not a regular file"}
    assert [os.path.basename(job.file.image_id) for job in plan.jobs if "link" not in job.file.image_id] == ["good.jpg"]
