"""The examples in the docstrings of what Python callers use, run as they stand."""

from __future__ import annotations

import doctest
import os
import shutil

import pytest

import index_store
from index_store import Library

PUBLIC = [getattr(index_store, name) for name in index_store.__all__]


@pytest.fixture(scope="module")
def library(demo, tmp_path_factory):
    """A library in the working directory that the examples speak of: photos/, photos.store."""
    folder = tmp_path_factory.mktemp("examples")
    shutil.copytree(demo / "test_images", folder / "photos")
    (folder / "photos" / "LICENCES.tsv").unlink()
    before = os.getcwd()
    os.chdir(folder)
    made = Library("photos.store")
    made.index("photos")
    made.decide([str(folder / "photos")], withhold=False, reason="a test")
    yield made
    os.chdir(before)


def examples() -> list[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [test for thing in PUBLIC for test in finder.find(thing, thing.__name__, globs={})]
    return [test for test in found if test.examples]


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.name)
def test_examples_of_docstrings_hold(example, library):
    example.globs.update(os=os, library=library, Library=Library, search=index_store.search)
    said: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=said.append)
    assert result.failed == 0, "".join(said)


def test_every_public_name_has_an_example():
    named = {example.name for example in examples()}
    methods = {
        f"{thing.__name__}.{name}"
        for thing in PUBLIC
        if isinstance(thing, type)
        for name, value in vars(thing).items()
        if (callable(value) or isinstance(value, property)) and not name.startswith("_")
    }
    assert {*methods, *(thing.__name__ for thing in PUBLIC)} - named == set()
