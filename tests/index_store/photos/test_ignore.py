from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from index_store.errors import UsageError
from index_store.photos.find import find_photos
from index_store.photos.ignore import MOST_IGNORE_BYTES, MOST_PATTERNS, Rules, is_rubbish, linear
from index_store.records import FindOptions


def names(root: Path, **options: object) -> list[str]:
    return [os.path.relpath(photo.image_id, root) for photo in find_photos(str(root), FindOptions(**options)).files]


def excluded(path: str, *patterns: str, is_folder: bool = False) -> bool | None:
    return Rules().for_root("/root", patterns).decide(f"/root/{path}", is_folder=is_folder)


# -- patterns of the command line


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("#recycle", "#recycle/a.jpg"),
        ("#*", "deep/#recycle/a.jpg"),
        ("#recycle/", "#recycle/a.jpg"),
        ("./x", "x/a.jpg"),
        ("././x/", "x/a.jpg"),
        (".//x", "x/a.jpg"),
        ("/root/x", "x/a.jpg"),
        ("/root/x/*.jpg", "x/a.jpg"),
        ("/root//x", "x/a.jpg"),
        ("x//a.jpg", "x/a.jpg"),
        ("*.{png,jpg}", "x/a.jpg"),
        ("{a,b}/{c,d}", "b/c/a.jpg"),
        ("{a,b{c,d}}", "bd/a.jpg"),
        ("{trash,old}/", "old/a.jpg"),
        ("{one}", "{one}/a.jpg"),
        ("\\{a,b\\}", "{a,b}/a.jpg"),
        ("x ", "x /a.jpg"),
        ("\\!x", "!x/a.jpg"),
        ("x\ny", "x\ny/a.jpg"),
        ("caf\u00e9", "cafe\u0301/a.jpg"),
        ("cafe\u0301/*.jpg", "caf\u00e9/a.jpg"),
        ("caf\udce9", "caf\udce9/a.jpg"),
    ],
)
def test_patterns_of_the_command_line_mean_what_people_type(pattern, path):
    assert excluded(path, pattern) is True
    assert excluded("other/a.jpeg", pattern) is None


def test_a_dot_before_a_slash_means_the_folder_itself():
    assert excluded("deep/x/a.jpg", "./x") is None


def test_an_exclamation_mark_takes_in_again():
    assert excluded("x/a.jpg", "*.jpg", "!a.jpg") is False
    assert excluded("x/a.jpg", "*.jpg", "!./x/a.jpg") is False
    assert excluded("x/a.jpg", "*.jpg", "!/root/x/{a,b}.jpg") is False


def test_home_is_meant_by_a_tilde(monkeypatch):
    monkeypatch.setenv("HOME", "/root")
    assert excluded("x/a.jpg", "~/x") is True


def test_an_absolute_path_is_known_by_the_name_behind_a_link_too(tmp_path, paint):
    paint("real/x/a.jpg"), paint("real/b.jpg")
    (tmp_path / "link").symlink_to("real")
    assert names(tmp_path / "link", exclude=(f"{tmp_path}/real/x",)) == ["b.jpg"]
    assert names(tmp_path / "link", exclude=(f"{tmp_path}/link/x",)) == ["b.jpg"]


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("!", "is not in gitignore's syntax"),
        ("", "is not in gitignore's syntax"),
        ("x\\", "is not in gitignore's syntax"),
        ("[z-a]", "is not in gitignore's syntax"),
        ("[a", "is not in gitignore's syntax"),
        ("./", "is not in gitignore's syntax"),
        ("../x", "lies outside the folder that is indexed"),
        ("{a,b}" * 7, "stands for more than 100 patterns"),
        ("{" * 400 + "," + "}" * 400, "stands for more than 100 patterns"),
        ("x" * 1001, "is longer than 1000 letters"),
    ],
)
def test_a_pattern_that_cannot_be_used_is_refused_in_one_line(pattern, reason):
    if pattern.startswith("{{"):
        assert excluded("x", pattern) is None
        return
    with pytest.raises(UsageError, match=rf"^--exclude: a pattern {reason}: .*; nothing was indexed$") as raised:
        excluded("x", pattern)
    assert "\n" not in str(raised.value)


# -- time


@pytest.mark.parametrize(
    "pattern", ["*a" * 20 + "*b", "?*" * 60 + "b", "**/a/" * 12 + "b", "**/*a*/" * 12 + "b", "*" * 500]
)
@pytest.mark.parametrize("path", ["a" * 250, "a/" * 1000 + "c", ("a" * 250 + "/") * 8 + "c"])
def test_no_pattern_takes_long_for_any_name(pattern, path):
    started = time.process_time()
    excluded(path, pattern)
    assert time.process_time() - started < 0.5  # pathspec's own expressions need hours


GLOBS = st.lists(
    st.sampled_from(["a", "b", "*", "**", "?", "/", "/**/", "**/", "[ab]", "\\*", "."]), min_size=1, max_size=9
)
NAMES = st.lists(st.text("ab.*", min_size=1, max_size=5), min_size=1, max_size=5).map("/".join)


@settings(max_examples=500, deadline=None)
@given(GLOBS.map("".join), NAMES, st.booleans())
def test_the_linear_expression_matches_what_that_of_pathspec_does(pattern, path, is_folder):
    try:
        expression, _ = GitIgnoreSpecPattern.pattern_to_regex(pattern)
    except ValueError:
        return
    if expression is None:
        return
    path += "/" if is_folder else ""
    expected, got = re.search(expression, path), re.search(linear(expression), path, re.DOTALL)
    assert (got is None) == (expected is None)
    if got and expected:
        assert got.groupdict().get("ps_d") == expected.groupdict().get("ps_d")


def test_an_expression_of_another_pathspec_is_refused_and_not_guessed():
    with pytest.raises(ValueError, match="is not understood from position 1 on"):
        linear("^(?!x)a")


@pytest.mark.parametrize("pattern", ["a.jpg", "*.jpg", "x*y/", "[!b]*"])
def test_names_with_line_ends_are_matched(pattern):
    assert excluded("x\ny/a.jpg", pattern) is True
    assert excluded("x\ny/a.jpg\n", "a.jpg") is None


def test_a_set_never_matches_a_slash_as_in_git(tmp_path):
    patterns = ["a[!b]c", "a?c", "d[^x]e/f"]
    paths = ["a/c", "axc", "d/e/f", "dye/f"]
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text("\n".join(patterns))
    asked = subprocess.run(
        ["git", "-C", tmp_path, "check-ignore", "--no-index", *paths], capture_output=True, text=True, check=False
    )
    assert [path for path in paths if excluded(path, *patterns)] == asked.stdout.split() == ["axc", "dye/f"]


# -- ignore files


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_an_ignore_file_may_begin_with_a_mark(tmp_path, paint, encoding):
    paint("a.jpg"), paint("b.jpg"), paint("ü.jpg")
    (tmp_path / ".imgsearchignore").write_bytes("a.jpg\r\nü.jpg\r\n".encode(encoding))
    assert names(tmp_path) == ["b.jpg"]


def test_an_ignore_file_may_name_files_that_are_no_utf8(tmp_path, paint):
    paint("a.jpg")
    os.rename(tmp_path / "a.jpg", os.fsencode(tmp_path) + b"/caf\xe9.jpg")
    paint("b.jpg")
    (tmp_path / ".imgsearchignore").write_bytes(b"caf\xe9.jpg\n")
    assert names(tmp_path) == ["b.jpg"]


def _unmarked(path: Path) -> None:
    path.write_bytes("a.jpg\n".encode("utf-16-le"))


def _large(path: Path) -> None:
    path.write_bytes(b"#" * (MOST_IGNORE_BYTES + 1))


def _sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 41)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_unmarked, "is UTF-16 without a mark, or no text; save it as UTF-8"),
        (_large, "is larger than 64 KiB; nothing of it was read"),
        (_sparse, "is larger than 64 KiB; nothing of it was read"),
        (os.mkfifo, "is not a regular file"),
        (os.mkdir, "is a directory"),
        (lambda path: path.symlink_to("/dev/zero"), "is not a regular file"),
        (lambda path: path.symlink_to("nowhere"), "no such file or directory"),
    ],
    ids=["utf-16 unmarked", "large", "sparse", "fifo", "folder", "device", "broken link"],
)
def test_a_folder_whose_ignore_file_cannot_be_read_is_passed_over_and_the_others_go_on(tmp_path, paint, make, reason):
    paint("closed/a.jpg"), paint("open/b.jpg")
    ignore = tmp_path / "closed/.imgsearchignore"
    make(ignore)
    found = find_photos(str(tmp_path))
    assert [photo.image_id for photo in found.files] == [str(tmp_path / "open/b.jpg")]
    assert found.unreadable == [str(tmp_path / "closed")]
    [skip] = found.skipped
    assert skip.reason == f"is passed over, what is stored of it stays: {ignore}: {reason}"


def test_a_line_that_is_no_pattern_costs_that_line(tmp_path, paint):
    paint("a.jpg"), paint("b.jpg"), paint("c.jpg")
    (tmp_path / ".imgsearchignore").write_text("a.jpg\n!\n[z-a]\nx\\\n" + "y" * 2000 + "\n\n# a remark\nc.jpg\n")
    found = find_photos(str(tmp_path))
    assert [Path(photo.image_id).name for photo in found.files] == ["b.jpg"]
    assert [skip.reason for skip in found.skipped] == [
        "line 2 is passed over: is not in gitignore's syntax",
        "line 3 is passed over: is not in gitignore's syntax",
        "line 4 is passed over: is not in gitignore's syntax",
        "line 5 is passed over: is longer than 1000 letters",
    ]


def test_patterns_are_bounded_over_all_folders_above(tmp_path, paint):
    paint("in/a.jpg")
    (tmp_path / ".imgsearchignore").write_text("x\n" * (MOST_PATTERNS - 1))
    (tmp_path / "in/.imgsearchignore").write_text("y\nz\na.jpg\n")
    found = find_photos(str(tmp_path))
    assert [skip.reason for skip in found.skipped] == [
        "line 2 and those below are passed over: more than 1000 patterns hold here"
    ]


# -- what a NAS or a desktop leaves behind


RUBBISH = [
    *("@eaDir", "#recycle", "#snapshot", "@Recycle", "$RECYCLE.BIN", "RECYCLER", "System Volume Information"),
    *("lost+found", ".Trash-1000", ".Trash", ".Trashes", ".thumbnails", ".Spotlight-V100", ".fseventsd", "__MACOSX"),
]


def test_rubbish_is_passed_over_and_counted(tmp_path, paint):
    for name in RUBBISH:
        paint(f"deep/{name}/a.jpg")
    paint("deep/b.jpg"), paint("._b.jpg"), paint(".trashed-1-b.jpg")
    found = find_photos(str(tmp_path), FindOptions(hidden=True))
    assert [os.path.relpath(photo.image_id, tmp_path) for photo in found.files] == ["deep/b.jpg"]
    assert found.passed_over.rubbish == dict.fromkeys(RUBBISH, 1)


def test_rubbish_can_be_taken_in(tmp_path, paint):
    paint("@eaDir/a.jpg"), paint("#recycle/b.jpg")
    assert names(tmp_path, exclude=("!@eaDir",)) == ["@eaDir/a.jpg"]
    assert names(tmp_path / "#recycle") == ["b.jpg"]


@pytest.mark.parametrize("name", ["recycle", "lost", "trash", "Trash", "thumbnails", "eaDir", "a.jpg", "#1 summer"])
def test_folders_of_people_are_no_rubbish(name):
    assert not is_rubbish(name)
