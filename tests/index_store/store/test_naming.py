from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from index_store.store.naming import Naming

NAMES = st.text(st.characters(blacklist_characters="/\0", blacklist_categories=("Cs",)), min_size=1).filter(
    lambda name: name not in {".", ".."}
)
PATHS = st.lists(st.one_of(NAMES, st.binary(min_size=1, max_size=4).map(
    lambda raw: os.fsdecode(raw.replace(b"/", b"_").replace(b"\0", b"_").replace(b".", b"_"))
)), min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))  # fmt: skip


@given(path=PATHS)
def test_every_path_comes_back_from_a_row_id_that_is_utf8(path):
    for naming in (Naming(), Naming({"archive": "/"}), Naming({"archive": "/photos"})):
        row_id = naming.row_id(path)
        row_id.encode("utf-8")
        assert naming.image_id(row_id) == path


def test_two_machines_mean_the_same_row_below_a_named_root():
    one, other = Naming({"archive": "/mnt/photos"}), Naming({"archive": "/Volumes/photos/"})
    row_id = one.row_id("/mnt/photos/2020/a.jpg")
    assert row_id == "root:archive/2020/a.jpg"
    assert other.image_id(row_id) == "/Volumes/photos/2020/a.jpg"
    assert other.row_id("/Volumes/photos/2020/a.jpg") == row_id


def test_a_row_of_a_root_that_is_not_here_keeps_its_name():
    assert Naming().image_id("root:archive/a.jpg") == "root:archive/a.jpg"


def test_a_sibling_of_a_root_is_outside():
    assert Naming({"archive": "/photos"}).row_id("/photos2/a.jpg") == "/photos2/a.jpg"
