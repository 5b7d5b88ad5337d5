"""What runs look through, forget and remember, over a store that is a dictionary."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from index_store.errors import UsageError
from index_store.photos.places import Place, chosen_places
from index_store.photos.survey import Survey, survey
from index_store.records import FindOptions, IndexedRoot, PhotoFile


class Runs:
    """Runs of `index` one after another: what is stored, and which roots are remembered."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stored: dict[str, PhotoFile] = {}
        self.roots: dict[str, IndexedRoot] = {}
        self.last = Survey

    def __call__(self, *names: str, prune_empty: bool = False, name: str = "", **options: object) -> Survey:
        """Index places below the folder by name, or refresh."""
        places = [Place(os.path.join(self.folder, each), FindOptions(**options), name) for each in names]
        known = sorted(self.roots.values(), key=lambda root: root.path)
        seen = survey(
            chosen_places(places, known, "store"),
            known,
            self.stored,
            prune_empty=prune_empty,
            file_of=self.stored.__getitem__,
        )
        assert seen.gone <= set(self.stored)
        for path in seen.gone:
            del self.stored[path]
        self.stored |= {file.image_id: file for file in seen.found.files}
        for root in seen.to_drop:
            del self.roots[root.path]
        self.roots |= {root.path: root for root in seen.to_set}
        return seen

    @property
    def names(self) -> list[str]:
        """Stored photos, relative to the folder."""
        return sorted(os.path.relpath(path, self.folder) for path in self.stored)

    @property
    def root_names(self) -> list[str]:
        return sorted(os.path.relpath(path, self.folder) for path in self.roots)


@pytest.fixture
def run(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


@pytest.fixture
def put(tmp_path: Path):
    """Return a function that makes photos, each of another size in bytes."""
    made = 0

    def put(*names: str) -> None:
        nonlocal made
        for name in names:
            made += 1
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8)).save(path, "JPEG")
            with path.open("ab") as file:
                file.write(b"x" * made)

    return put


def lines(seen: Survey, folder: Path) -> dict[str, str]:
    return {os.path.relpath(skip.path or "", folder): skip.reason for skip in seen.found.skipped}


# -- options of roots inside roots


def test_a_folder_inside_a_root_has_the_options_of_the_root(run, put):
    put("d/a/.hidden.jpg", "d/a/b.jpg", "d/a/x/c.jpg", "d/e.jpg")
    run("d", hidden=True, exclude=("x/",))
    before = run.names
    seen = run("d/a")
    assert (seen.gone, run.names, run.root_names) == (frozenset(), before, ["d"])
    assert before == ["d/a/.hidden.jpg", "d/a/b.jpg", "d/e.jpg"]


def test_an_ignore_file_above_a_named_folder_holds_for_it(run, put, tmp_path):
    put("d/a/b.jpg", "d/a/private/c.jpg", "d/a/deep/secret.jpg")
    (tmp_path / "d/.imgsearchignore").write_text("private/\n/a/deep/secret.jpg\n")
    run("d")
    assert run.names == ["d/a/b.jpg"]
    run("d/a")
    assert run.names == ["d/a/b.jpg"]


def test_options_of_a_folder_inside_a_root_stay_with_it(run, put):
    put("d/a/b.jpg", "d/a/x/c.jpg", "d/x/e.jpg")
    run("d")
    run("d/a", exclude=("x/",))
    assert run.names == ["d/a/b.jpg", "d/x/e.jpg"]
    run()
    assert run.names == ["d/a/b.jpg", "d/x/e.jpg"]
    assert run.root_names == ["d", "d/a"]
    run("d")
    assert run.names == ["d/a/b.jpg", "d/x/e.jpg"]


def test_options_stay_where_the_folder_was_indexed_before_its_parent(run, put):
    put("d/a/b.jpg", "d/a/x/c.jpg", "d/e.jpg")
    run("d/a", exclude=("x/",))
    run("d")
    run()
    assert run.names == ["d/a/b.jpg", "d/e.jpg"]


def test_a_root_without_options_of_its_own_is_swallowed_and_takes_those_of_its_parent(run, put):
    put("d/a/b.jpg", "d/a/.c.jpg", "d/e.jpg")
    run("d/a")
    run("d", hidden=True)
    assert (run.names, run.root_names) == (["d/a/.c.jpg", "d/a/b.jpg", "d/e.jpg"], ["d"])


def test_a_root_that_has_a_name_is_never_swallowed(run, put):
    put("d/a/b.jpg", "d/e.jpg")
    run("d/a", name="archive")
    run("d")
    run()
    assert (run.names, run.root_names) == (["d/a/b.jpg", "d/e.jpg"], ["d", "d/a"])
    assert run.roots[str(run.folder / "d/a")].name == "archive"


def test_a_folder_that_gets_a_name_inside_a_root_is_remembered(run, put):
    put("d/a/b.jpg", "d/e.jpg")
    run("d")
    run("d/a", name="archive")
    assert run.root_names == ["d", "d/a"]


@pytest.mark.parametrize("inner", [".hidden", "@eaDir", "link"])
def test_what_its_root_does_not_reach_is_a_root_of_its_own_and_stays(run, put, tmp_path, inner):
    put("d/e.jpg", "elsewhere/b.jpg")
    if inner == "link":
        (tmp_path / "d/link").symlink_to(tmp_path / "elsewhere")
    else:
        put(f"d/{inner}/b.jpg")
    run("d")
    run(f"d/{inner}")
    run()
    run("d")
    assert run.names == sorted(["d/e.jpg", f"d/{inner}/b.jpg"])


def test_what_its_root_excludes_stays_out_also_where_it_is_named(run, put, tmp_path):
    put("d/a/b.jpg", "d/e.jpg", "d/f/g.jpg")
    run("d", exclude=("a/",))
    with pytest.raises(UsageError, match=r"d/a: is excluded by a pattern of its root .*d or by an ignore file there"):
        run("d/a")
    seen = run("d/a", "d/f")
    assert list(lines(seen, tmp_path)) == ["d/a"]
    assert run.names == ["d/e.jpg", "d/f/g.jpg"]


def test_a_root_that_a_parent_excludes_goes_with_its_photos(run, put):
    put("d/e.jpg", *(f"d/a/{number}.jpg" for number in range(30)))
    run("d/a")
    run("d", exclude=("a/",))
    assert (run.names, run.root_names) == (["d/e.jpg"], ["d"])


def test_a_root_that_an_ignore_file_excludes_later_goes_at_the_refresh(run, put, tmp_path):
    put("d/e.jpg", "d/.a/b.jpg", "d/c/f.jpg")
    run("d"), run("d/.a"), run("d/c", exclude=("x",))
    (tmp_path / "d/.imgsearchignore").write_text(".a/\nc\n")
    run()
    assert (run.names, run.root_names) == (["d/e.jpg"], ["d"])


def test_many_photos_that_are_excluded_now_are_not_taken_for_an_unmounted_disk(run, put):
    put("d/e.jpg", *(f"d/a/{number}.jpg" for number in range(30)))
    run("d")
    seen = run("d", exclude=("a/",))
    assert (run.names, seen.found.skipped) == (["d/e.jpg"], [])


# -- places are what the disk says they are


def test_a_folder_and_its_link_are_one_root(run, put, tmp_path):
    put("d/e.jpg", "d/a/b.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "d")
    (tmp_path / "to_a").symlink_to(tmp_path / "d/a")
    run("d")
    for again in ("link", "link/a", "to_a", "link/a/b.jpg", "d/../d"):
        assert run(again).gone == frozenset()
        assert (run.names, run.root_names) == (["d/a/b.jpg", "d/e.jpg"], ["d"])


def test_a_link_that_was_indexed_first_keeps_its_paths(run, put, tmp_path):
    put("d/e.jpg", "d/a/b.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "d")
    run("link")
    for again in ("d", "d/a", "d/e.jpg"):
        run(again)
        assert (run.names, run.root_names) == (["link/a/b.jpg", "link/e.jpg"], ["link"])


def test_a_parent_finds_a_root_that_is_known_by_a_link(run, put, tmp_path):
    put("d/e.jpg", "d/a/b.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "d/a")
    run("link")
    run("d")
    run()
    assert run.names == ["d/e.jpg", "link/b.jpg"]


def test_two_names_of_one_folder_in_one_run_are_one_root(run, put, tmp_path):
    put("d/e.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "d")
    run("d", "link", "d/")
    assert (run.names, run.root_names) == (["d/e.jpg"], ["d"])


def test_hard_links_and_links_to_files_are_photos_of_their_own(run, put, tmp_path):
    put("d/a.jpg")
    os.link(tmp_path / "d/a.jpg", tmp_path / "d/hard.jpg")
    (tmp_path / "d/soft.jpg").symlink_to("a.jpg")
    run("d/a.jpg", "d/hard.jpg", "d/soft.jpg")
    assert run.names == ["d/a.jpg", "d/hard.jpg", "d/soft.jpg"]
    run("d")
    assert (len(run.names), run.root_names) == (3, ["d"])


# -- what is gone, and what is out of reach


def test_a_file_that_was_named_by_itself_and_was_deleted_is_forgotten(run, put, tmp_path):
    put("d/a.jpg", "d/b.jpg")
    run("d/a.jpg", "d/b.jpg")
    (tmp_path / "d/a.jpg").unlink()
    run()
    assert (run.names, run.root_names) == (["d/b.jpg"], ["d/b.jpg"])
    (tmp_path / "d/b.jpg").unlink()
    run()
    assert (run.names, run.root_names) == ([], [])


def test_a_file_that_was_named_by_itself_is_kept_where_its_folder_is_not_there(run, put, tmp_path):
    put("d/a.jpg", "d/b.jpg", "e/c.jpg")
    run("d/a.jpg", "d/b.jpg", "e")
    (tmp_path / "d").rename(tmp_path / "unmounted")
    seen = run()
    assert run.names == ["d/a.jpg", "d/b.jpg", "e/c.jpg"]
    assert lines(seen, tmp_path) == {
        "d": "is not there, its 2 photos are kept; mount it, or drop it with 'imgsearch forget'"
    }


def test_many_named_files_that_are_gone_from_an_empty_folder_are_kept(run, put, tmp_path):
    many = [f"d/{number}.jpg" for number in range(21)]
    put(*many)
    run(*many)
    for name in many:
        (tmp_path / name).unlink()
    assert "holds no photo any more, its 21 photos are kept" in lines(run(), tmp_path)["d"]
    assert (len(run.names), len(run.root_names)) == (21, 21)
    run(prune_empty=True)
    assert (run.names, run.root_names) == ([], [])


@pytest.mark.parametrize(("count", "kept"), [(20, False), (21, True)])
def test_a_folder_that_lost_many_photos_at_once_is_guarded_like_a_root(run, put, tmp_path, count, kept):
    put("d/e.jpg", *(f"d/usb/deep/{number}.jpg" for number in range(count)))
    run("d")
    shutil.rmtree(tmp_path / "d/usb/deep")
    seen = run()
    assert len(run.names) == 1 + (count if kept else 0)
    if kept:
        assert lines(seen, tmp_path) == {
            "d/usb": "holds no photo any more, its 21 photos are kept; if it is not mounted, mount it; "
            "if they are to be forgotten, say --prune-empty"
        }
        run(prune_empty=True)
    assert run.names == ["d/e.jpg"]


def test_an_emptied_mount_point_is_guarded_however_few_photos_it_lost(run, put, tmp_path, monkeypatch):
    put("d/e.jpg", "d/usb/a.jpg")
    run("d")
    (tmp_path / "d/usb/a.jpg").unlink()
    monkeypatch.setattr(os.path, "ismount", lambda path: path == str(tmp_path / "d/usb"))
    assert list(lines(run(), tmp_path)) == ["d/usb"]
    assert run.names == ["d/e.jpg", "d/usb/a.jpg"]


def test_a_folder_that_was_deleted_is_forgotten(run, put, tmp_path):
    put("d/e.jpg", *(f"d/trip/{number}.jpg" for number in range(30)))
    run("d")
    shutil.rmtree(tmp_path / "d/trip")
    assert (run().found.skipped, run.names) == ([], ["d/e.jpg"])


def test_many_photos_that_moved_elsewhere_are_not_taken_for_an_unmounted_disk(run, put, tmp_path):
    put("d/e.jpg", *(f"d/inbox/{number}.jpg" for number in range(30)))
    run("d")
    (tmp_path / "d/sorted").mkdir()
    for number in range(30):
        (tmp_path / f"d/inbox/{number}.jpg").rename(tmp_path / f"d/sorted/new {number}.jpg")
    assert run().found.skipped == []
    assert len(run.names) == 31
    assert not any("inbox" in name for name in run.names)


def test_a_root_whose_photos_all_moved_to_another_is_not_guarded(run, put, tmp_path):
    put("a/1.jpg", "a/2.jpg", "b/3.jpg")
    run("a", "b")
    for name in ("1.jpg", "2.jpg"):
        (tmp_path / "a" / name).rename(tmp_path / "b" / name)
    assert (run().found.skipped, run.names) == ([], ["b/1.jpg", "b/2.jpg", "b/3.jpg"])


def test_one_empty_or_missing_root_never_stops_the_others(run, put, tmp_path):
    put("a/1.jpg", "b/2.jpg", "c/3.jpg", "e/f.jpg")
    run("a", "b", "c", "e")
    (tmp_path / "a/1.jpg").unlink()
    shutil.rmtree(tmp_path / "b")
    shutil.rmtree(tmp_path / "e")
    (tmp_path / "e").write_text("a file now")
    put("c/4.jpg")
    seen = run()
    assert run.names == ["a/1.jpg", "b/2.jpg", "c/3.jpg", "c/4.jpg", "e/f.jpg"]
    assert {name: reason[:22] for name, reason in lines(seen, tmp_path).items()} == {
        "a": "holds no photo, and 1 ",
        "b": "is not there, its phot",
        "e": "holds no photo, and 1 ",
    }


def test_a_root_that_was_pruned_empty_says_nothing_more(run, put, tmp_path):
    put("a/1.jpg", "b/2.jpg")
    run("a", "b")
    (tmp_path / "a/1.jpg").unlink()
    run(prune_empty=True)
    assert run().found.skipped == []
    assert run.names == ["b/2.jpg"]


def test_a_root_with_a_pattern_that_cannot_be_understood_never_stops_the_others(run, put, tmp_path):
    put("a/1.jpg", "b/2.jpg")
    run("a", "b")
    root = run.roots[str(tmp_path / "a")]
    run.roots[root.path] = IndexedRoot(root.path, root.indexed_at, 1, FindOptions(("[z-a]",)))
    put("b/3.jpg")
    seen = run()
    assert "a pattern is not in gitignore's syntax" in lines(seen, tmp_path)["a"]
    assert run.names == ["a/1.jpg", "b/2.jpg", "b/3.jpg"]


def test_an_empty_folder_beside_others_is_one_line_and_alone_an_error(run, put, tmp_path):
    put("a/1.jpg")
    (tmp_path / "b").mkdir()
    assert lines(run("a", "b"), tmp_path)["b"].startswith("no photos found")
    assert run.root_names == ["a"]
    with pytest.raises(UsageError, match=r"b: no photos found .*nothing was indexed"):
        run("b")


# -- files that are named one by one


def test_sidecars_and_other_files_among_named_ones_are_passed_over(run, put, tmp_path):
    put("d/IMG_1.jpg", "d/2.jpg")
    for name in ("IMG_1.xmp", "IMG_1.jpg.XMP", "IMG_1.MOV", "IMG_1.aae", "notes.txt", "other.mov", "a.psd", "README"):
        (tmp_path / "d" / name).write_bytes(b"no photo at all, whatever its name")
    seen = run(*(f"d/{path.name}" for path in (tmp_path / "d").iterdir()))
    assert run.names == ["d/2.jpg", "d/IMG_1.jpg"]
    assert seen.found.skipped == []
    assert seen.found.passed_over.formats == {".txt": 1, ".mov": 1, ".psd": 1, "no suffix": 1}


@pytest.mark.parametrize("name", ["notes.txt", "a.xmp", "a.mov", "a.psd"])
def test_a_file_that_is_no_photo_is_an_error_where_it_is_named_alone(run, tmp_path, name):
    (tmp_path / name).write_text("no photo at all, whatever its name")
    with pytest.raises(UsageError, match=r"is not a photo in a format that is read .*nothing was indexed"):
        run(name)


def test_rubbish_that_a_shell_names_with_the_rest_is_passed_over(run, put):
    put("d/@eaDir/a.jpg", "d/#recycle/b.jpg", "d/e/c.jpg", "d/f.jpg")
    seen = run("d/@eaDir", "d/#recycle", "d/e", "d/f.jpg")
    assert run.names == ["d/e/c.jpg", "d/f.jpg"]
    assert seen.found.passed_over.rubbish == {"@eaDir": 1, "#recycle": 1}


def test_a_link_to_nothing_among_named_files_is_one_line(run, put, tmp_path):
    put("a.jpg")
    (tmp_path / "gone.jpg").symlink_to("nowhere.jpg")
    assert lines(run("a.jpg", "gone.jpg"), tmp_path) == {"gone.jpg": "is a link to nothing"}


def test_a_misspelt_name_stops_before_anything_is_done(run, put):
    put("a.jpg")
    with pytest.raises(UsageError, match=r"nowhere: no such file or folder; nothing was indexed"):
        run("a.jpg", "nowhere")
    assert run.names == []


# -- patterns of the command line


def test_a_pattern_that_matched_nothing_is_told_once(run, put):
    put("a/keep.jpg", "a/x/1.jpg", "b/y/2.jpg")
    seen = run("a", "b", exclude=("x/", "y", "z", "*.tiff", "!nothing"))
    assert seen.found.passed_over.unused == ("z", "*.tiff", "!nothing")
    assert run().found.passed_over.unused == ()


def test_a_pattern_for_what_is_passed_over_anyway_has_matched(run, put):
    put("a/1.jpg", "a/@eaDir/2.jpg", "a/.git/3.jpg")
    assert run("a", exclude=("@eaDir", ".git")).found.passed_over.unused == ()


def test_of_two_patterns_for_one_file_both_have_matched(run, put):
    put("a/1.jpg", "a/x.jpg")
    assert run("a", exclude=("x.*", "x*")).found.passed_over.unused == ()


# -- network disks without inodes


def test_where_a_file_system_has_no_inodes_places_are_told_apart_by_their_paths(run, put, monkeypatch, tmp_path):
    put("a/1.jpg", "b/2.jpg")
    real = os.stat

    def without_inodes(path, **options):
        status = real(path, **options)
        return os.stat_result((*status[:1], 0, *status[2:10]), {"st_mtime_ns": 1, "st_ctime_ns": 1})

    monkeypatch.setattr("index_store.photos.find.os.stat", without_inodes)
    run("a", "b")
    assert (run.names, run.root_names) == (["a/1.jpg", "b/2.jpg"], ["a", "b"])


def test_a_root_keeps_its_name_until_it_is_forgotten(run, put):
    put("d/a/b.jpg", "d/e.jpg")
    run("d/a", name="archive")
    run("d/a")
    assert [root.name for root in run.roots.values()] == ["archive"]
    run("d")
    run("d/a")
    assert {Path(root.path).name: root.name for root in run.roots.values()} == {"a": "archive", "d": ""}
    with pytest.raises(UsageError, match=r"d/a: has the name archive already; to give it another, forget it first"):
        run("d/a", name="other")


def test_named_files_of_a_root_in_trash_or_thumbnails_are_passed_over_as_find_names_them(run, put):
    put("d/e.jpg", "d/f/g.jpg", "d/@eaDir/e.jpg", "d/f/#recycle/h.jpg", "#recycle/1.jpg", "#recycle/2.jpg")
    run("d")
    run("d/e.jpg", "d/f/g.jpg", "d/@eaDir/e.jpg", "d/f/#recycle/h.jpg")
    assert (run.names, run.root_names) == (["d/e.jpg", "d/f/g.jpg"], ["d"])
    run("#recycle/1.jpg", "#recycle/2.jpg")
    assert run.names == ["#recycle/1.jpg", "#recycle/2.jpg", "d/e.jpg", "d/f/g.jpg"]
