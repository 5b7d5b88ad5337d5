from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from index_store.indexing.plan import IndexPlan, plan_changes
from index_store.paths import lies_below
from index_store.photos.find import find_photos
from index_store.photos.hashing import hash_file
from index_store.records import EncodingJob, PhotoFile, StoredPhoto, Verdict
from tests.conftest import content_of

CLEAN = Verdict(False, 0.0, "", "rule-1", "p")


def stored(path: str, size: int = 1, mtime: int = 1, content: str | None = None) -> StoredPhoto:
    content = content or content_of(path)
    return StoredPhoto(content, (PhotoFile(path, size, mtime, content),), 4, 3, CLEAN)


def as_stored(root: Path) -> list[StoredPhoto]:
    rows: dict[str, list[PhotoFile]] = {}
    for file in find_photos(str(root)).files:
        content = hash_file(file.image_id)
        rows.setdefault(content, []).append(replace(file, content_hash=content))
    return [StoredPhoto(content, tuple(files), 4, 3, CLEAN) for content, files in rows.items()]


def plan_of(root: Path, before: list[StoredPhoto], **options: bool):
    found = find_photos(str(root))
    present = {file.image_id for file in found.files}
    return plan_changes(found, before, {path for row in before for path in row.paths} - present, **options)


def gained(plan) -> dict[str, list[str]]:
    return {content: [Path(file.image_id).name for file in files] for content, files in plan.gains.items()}


def lost(plan) -> dict[str, set[str]]:
    return {content: {Path(path).name for path in paths} for content, paths in plan.losses.items()}


def test_an_unchanged_folder_needs_nothing(tmp_path, paint):
    paint("a.png")
    plan = plan_of(tmp_path, as_stored(tmp_path))
    assert (plan.unchanged, plan.jobs, plan.gains, plan.losses, plan.removed) == (1, (), {}, {}, frozenset())


def test_a_renamed_photo_is_moved_and_not_encoded(tmp_path, paint):
    old = paint("a.png", "red")
    before = as_stored(tmp_path)
    new = old.rename(tmp_path / "b.png")
    plan = plan_of(tmp_path, before)
    assert (plan.moved, plan.removed, plan.added, plan.jobs) == ({str(new)}, {str(old)}, frozenset(), ())
    [row] = before
    assert (gained(plan), lost(plan)) == ({row.content_hash: ["b.png"]}, {row.content_hash: {"a.png"}})


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
    first, second = hash_file(str(two)), hash_file(str(one))
    assert gained(plan) == {first: ["2.bmp"], second: ["1.bmp"]}
    assert lost(plan) == {first: {"1.bmp"}, second: {"2.bmp"}}


def test_a_touched_photo_costs_a_hash_and_no_embedding(tmp_path, paint):
    path = paint("a.png")
    before = as_stored(tmp_path)
    os.utime(path, ns=(5, 5))
    plan = plan_of(tmp_path, before)
    assert plan.jobs == () and plan.touched == {str(path)} and plan.losses == {}
    assert [file.mtime_ns for files in plan.gains.values() for file in files] == [5]


def test_copies_are_encoded_once(tmp_path, paint):
    paint("a.png"), paint("b.png")
    plan = plan_of(tmp_path, [])
    assert [[Path(file.image_id).name for file in job.files] for job in plan.jobs] == [["a.png", "b.png"]]
    assert len(plan.added) == 2


def test_lies_below_knows_whole_names_only():
    assert lies_below("/a/b", "/a") and lies_below("/a", "/a") and lies_below("/a", "/")
    assert not lies_below("/ab", "/a")


def test_photos_of_one_size_and_time_that_swap_names_are_noticed(tmp_path, paint):
    one, two = paint("1.bmp", "red"), paint("2.bmp", "blue")
    before = as_stored(tmp_path)
    one.rename(tmp_path / "tmp"), two.rename(one), (tmp_path / "tmp").rename(two)
    for path in (one, two):
        os.utime(path, ns=(1, 1))
    stale = [row.with_files(replace(file, mtime_ns=1) for file in row.files) for row in before]
    assert plan_of(tmp_path, stale).changed == {str(one), str(two)}
    # on a file system whose times of change say nothing, the inodes tell
    found = find_photos(str(tmp_path))
    found.files = [replace(file, ctime_ns=0) for file in found.files]
    assert plan_changes(found, stale, ()).changed == {str(one), str(two)}


def test_new_inodes_alone_say_nothing_since_some_network_file_systems_give_them_at_each_mount(tmp_path, paint):
    paint("a.png"), paint("b.png", "blue")
    before = [
        row.with_files(replace(file, inode=file.inode + 10**6) for file in row.files) for row in as_stored(tmp_path)
    ]
    assert plan_of(tmp_path, before).unchanged == 2


def test_two_names_of_one_file_are_unchanged(tmp_path, paint):
    os.link(paint("a.png"), tmp_path / "b.png")
    assert plan_of(tmp_path, as_stored(tmp_path)).unchanged == 2


def test_a_file_that_kept_size_and_time_is_noticed_by_its_time_of_change_or_with_rehash(tmp_path, paint):
    path = paint("1.bmp", "red")
    os.utime(path, ns=(1, 1))
    before = as_stored(tmp_path)
    paint("1.bmp", "blue")
    os.utime(path, ns=(1, 1))
    assert plan_of(tmp_path, before).changed == {str(path)}
    [now] = find_photos(str(tmp_path)).files
    same = [row.with_files([replace(now, content_hash=row.content_hash)]) for row in before]
    assert plan_of(tmp_path, same).unchanged == 1
    assert plan_of(tmp_path, same, rehash=True).changed == {str(path)}


def test_a_copy_that_comes_or_goes_changes_its_row_and_costs_no_embedding(tmp_path, paint):
    path = paint("a.png")
    before = as_stored(tmp_path)
    (tmp_path / "b.png").write_bytes(path.read_bytes())
    plan = plan_of(tmp_path, before)
    assert (plan.jobs, plan.added, plan.moved) == ((), {str(tmp_path / "b.png")}, frozenset())
    both = as_stored(tmp_path)
    path.unlink()
    plan = plan_of(tmp_path, both)
    assert (plan.jobs, plan.removed, lost(plan)) == ((), {str(path)}, {both[0].content_hash: {"a.png"}})


def test_a_path_that_an_interrupted_run_left_in_two_rows_loses_the_wrong_one(tmp_path, paint):
    path = paint("a.png")
    [right] = as_stored(tmp_path)
    wrong = stored(str(path), size=7)
    plan = plan_of(tmp_path, [wrong, right])
    assert (plan.unchanged, plan.jobs, plan.losses) == (1, (), {wrong.content_hash: {str(path)}})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 3)),
    after=st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 3)),
)
def test_a_plan_makes_the_rows_those_of_the_disk(tmp_path_factory, before, after):
    root = tmp_path_factory.mktemp("law")
    rows: dict[str, StoredPhoto] = {}
    for name, number in before.items():
        (root / "source").write_bytes(b"\xff\xd8\xff%d" % number)
        content = hash_file(str(root / "source"))
        file = PhotoFile(str(root / f"{name}.jpg"), 4, 1000 + number, content)
        known = rows.get(content)
        rows[content] = known.with_files([*known.files, file]) if known else StoredPhoto(content, (file,), 4, 3, CLEAN)
    (root / "source").unlink(missing_ok=True)
    for name, number in after.items():
        path = root / f"{name}.jpg"
        path.write_bytes(b"\xff\xd8\xff%d" % number)
        os.utime(path, ns=(1000 + number, 1000 + number))
    plan = plan_of(root, list(rows.values()))

    holds = {content: set(row.paths) for content, row in rows.items()}
    for content, files in plan.gains.items():
        holds[content] |= {file.image_id for file in files}
    for job in plan.jobs:
        assert hash_file(job.file.image_id) not in holds  # content is encoded only where no row has it, and once
        holds[hash_file(job.file.image_id)] = {file.image_id for file in job.files}
    for content, paths in plan.losses.items():
        assert paths <= holds[content]
        holds[content] -= paths
    on_disk: dict[str, set[str]] = {}
    for name in after:
        path = str(root / f"{name}.jpg")
        on_disk.setdefault(hash_file(path), set()).add(path)
    assert {content: paths for content, paths in holds.items() if paths} == on_disk

    stored_paths = {path for row in rows.values() for path in row.paths}
    now = {path for paths in on_disk.values() for path in paths}
    assert plan.removed == stored_paths - now
    assert plan.added | plan.moved == now - stored_paths
    assert plan.unchanged + len(plan.touched) + len(plan.changed) == len(now & stored_paths)


def test_a_part_of_a_plan_leaves_what_the_rest_is_to_change():
    jobs = tuple(EncodingJob(PhotoFile(path, 1, 1)) for path in ("/a", "/b", "/c"))
    plan = IndexPlan(
        jobs,
        losses={"old-b": frozenset({"/b"}), "old-c": frozenset({"/c", "/gone"})},
        added=frozenset({"/a"}),
        changed=frozenset({"/b", "/c"}),
        removed=frozenset({"/gone"}),
    )
    part, left = plan.first(2)
    assert (part.jobs, left) == (jobs[:2], 1)
    assert part.losses == {"old-b": {"/b"}, "old-c": {"/gone"}}
    assert (part.added, part.changed, part.removed) == ({"/a"}, {"/b"}, {"/gone"})
    assert plan.first(3) == plan.first(None) == (plan, 0)
