from __future__ import annotations

import os

import pytest

from index_store.errors import DataError
from index_store.user_text import decode_user_text, read_user_text

TEXT = "a dog\r\nzwölf Hunde\n犬\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_text_may_begin_with_a_mark(tmp_path, encoding):
    (tmp_path / "a.txt").write_bytes(TEXT.encode(encoding))
    assert read_user_text(tmp_path / "a.txt", most_bytes=1000) == TEXT


@pytest.mark.parametrize("mark", [b"\xff\xfe", b"\xfe\xff"])
def test_utf_16_of_either_order_is_read(mark):
    content = mark + TEXT.encode("utf-16-le" if mark == b"\xff\xfe" else "utf-16-be")
    assert decode_user_text(content, "a.txt") == TEXT


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (TEXT.encode("utf-16-le"), "a.txt: is UTF-16 without a mark, or no text; save it as UTF-8"),
        (b"good\ncaf\xe9\n", "a.txt:2: is not UTF-8; save the file as UTF-8"),
        (b"\xef\xbb\xbfgood\n\ncaf\xe9\n", "a.txt:3: is not UTF-8; save the file as UTF-8"),
        (b"\xff\xfeg\0o", "a.txt: is not UTF-16-LE; save the file as UTF-8"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a.txt: is UTF-16 without a mark, or no text; save it as UTF-8"),
    ],
)
def test_what_is_no_text_is_refused_whole_and_by_name(content, reason):
    with pytest.raises(DataError) as raised:
        decode_user_text(content, "a.txt")
    assert str(raised.value) == reason


def test_names_on_the_disk_may_be_any_bytes_where_that_is_asked_for():
    assert os.fsencode(decode_user_text(b"caf\xe9\n", "a.txt", errors="surrogateescape")) == b"caf\xe9\n"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.write_bytes(b"x" * 2049), "is larger than 2 KiB; nothing of it was read"),
        (os.mkfifo, "is not a regular file"),
        (os.mkdir, "is a directory"),
        (lambda path: path.symlink_to("/dev/zero"), "is not a regular file"),
        (lambda path: None, "no such file or directory"),
    ],
    ids=["large", "fifo", "folder", "device", "missing"],
)
def test_what_cannot_be_read_is_one_line_with_its_path(tmp_path, make, reason):
    make(tmp_path / "a.txt")
    with pytest.raises(DataError) as raised:
        read_user_text(tmp_path / "a.txt", most_bytes=2048)
    assert str(raised.value) == f"{tmp_path}/a.txt: {reason}"
