from __future__ import annotations

import os
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from index_store.finding import find_photos
from index_store.hashing import hash_file
from index_store.planning import lies_below, plan_changes
from index_store.records import PhotoFile, StoredPhoto, Verdict

CLEAN = Verdict(False, 0.0, "", "rule-1", "p")


def stored(path: str, size: int = 1, mtime: int = 1, content: str | None = None) -> StoredPhoto:
    return StoredPhoto(PhotoFile(path, size, mtime, content or path), 4, 3, CLEAN)


def as_stored(root: Path) -> dict[str, StoredPhoto]:
    files = find_photos(str(root)).files
    return {
        file.image_id: stored(file.image_id, file.size_bytes, file.mtime_ns, hash_file(file.image_id)) for file in files
    }


def plan_of(root: Path, before: dict[str, StoredPhoto]):
    found = find_photos(str(root))
    return plan_changes(found, before, set(before) - {file.image_id for file in found.files})


def test_an_unchanged_folder_needs_nothing(tmp_path, paint):
    paint("a.png")
    plan = plan_of(tmp_path, as_stored(tmp_path))
    assert (plan.unchanged, plan.jobs, plan.reused, plan.touched, plan.removed) == (1, (), (), (), frozenset())


def test_a_renamed_photo_is_moved_and_not_encoded(tmp_path, paint):
    old = paint("a.png", "red")
    before = as_stored(tmp_path)
    new = old.rename(tmp_path / "b.png")
    plan = plan_of(tmp_path, before)
    assert (plan.moved, plan.removed, plan.added, plan.jobs) == ({str(new)}, {str(old)}, frozenset(), ())
    assert plan.reused[0].source.image_id == str(old)


def test_two_photos_that_swap_names_are_changed_and_not_encoded(tmp_path, paint):
    one, two = paint("1.bmp", "red"), paint("2.bmp", "blue")
    os.utime(one, ns=(1, 1))
    os.utime(two, ns=(2, 2))
    before = as_stored(tmp_path)
    one.rename(tmp_path / "tmp")
    two.rename(one)
    (tmp_path / "tmp").rename(two)
    plan = plan_of(tmp_path, before)
    assert plan.jobs == () and plan.changed == {str(one), str(two)}
    assert {reuse.file.image_id: reuse.source.image_id for reuse in plan.reused} == {
        str(one): str(two),
        str(two): str(one),
    }


def test_a_touched_photo_costs_a_hash_and_no_embedding(tmp_path, paint):
    path = paint("a.png")
    before = as_stored(tmp_path)
    os.utime(path, ns=(5, 5))
    plan = plan_of(tmp_path, before)
    assert plan.jobs == () and [reuse.file.mtime_ns for reuse in plan.touched] == [5]


def test_copies_are_encoded_once(tmp_path, paint):
    paint("a.png"), paint("b.png")
    plan = plan_of(tmp_path, {})
    assert [[Path(file.image_id).name for file in job.files] for job in plan.jobs] == [["a.png", "b.png"]]
    assert len(plan.added) == 2


def test_lies_below_knows_whole_names_only():
    assert lies_below("/a/b", "/a") and lies_below("/a", "/a") and lies_below("/a", "/")
    assert not lies_below("/ab", "/a")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 3)),
    after=st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 3)),
)
def test_a_plan_accounts_for_every_file_on_disk_and_every_row(tmp_path_factory, before, after):
    root = tmp_path_factory.mktemp("law")
    rows = {}
    for name, content in before.items():
        path = str(root / f"{name}.jpg")
        (root / "source").write_bytes(b"\xff\xd8\xff%d" % content)
        rows[path] = stored(path, 4, 1000 + content, hash_file(str(root / "source")))
    (root / "source").unlink(missing_ok=True)
    for name, content in after.items():
        path = root / f"{name}.jpg"
        path.write_bytes(b"\xff\xd8\xff%d" % content)
        os.utime(path, ns=(1000 + content, 1000 + content))
    plan = plan_of(root, rows)

    on_disk = {str(root / f"{name}.jpg") for name in after}
    encoded = {file.image_id for job in plan.jobs for file in job.files}
    reused = {reuse.file.image_id for reuse in plan.reused}
    assert plan.removed == set(rows) - on_disk
    assert encoded | reused == plan.added | plan.changed | plan.moved
    assert not encoded & reused
    assert plan.added | plan.moved == on_disk - set(rows)
    assert plan.unchanged + len(plan.touched) + len(plan.changed) == len(on_disk & set(rows))
    # content is encoded only where no row has it, and each content once
    known = {row.file.content_hash for row in rows.values()}
    contents = [hash_file(job.file.image_id) for job in plan.jobs]
    assert not known & set(contents) and len(contents) == len(set(contents))
