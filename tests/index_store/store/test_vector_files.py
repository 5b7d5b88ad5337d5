from __future__ import annotations

import os
import random

import numpy as np
import pytest

from index_store.store.vector_files import FILES, check_folder, read_vectors
from tests.index_store.store import vector_store
from tests.index_store.store.damages import DAMAGES, mark_of
from tests.index_store.store.vector_store import DIMENSION, IN_FILES, vector_folder


def test_what_chroma_wrote_fits_and_can_be_read(vectored):
    folder = vector_folder(vectored)
    found = check_folder(str(folder), DIMENSION)
    assert (found.problem, sorted(found.labels)) == (None, sorted(f"row {i}" for i in range(IN_FILES)))
    read = read_vectors(str(folder), DIMENSION, 32)
    expected = vector_store.vectors()
    assert sorted(read) == sorted(found.labels)
    assert all(np.allclose(vector, expected[int(name[4:])], atol=1e-6) for name, vector in read.items())


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_told_and_nothing_in_them_is_run(vectored, damage):
    folder = vector_folder(vectored)
    DAMAGES[damage](folder)
    found = check_folder(str(folder), DIMENSION)
    assert found.problem
    assert found.labels == {}
    assert all(abs(np.linalg.norm(vector) - 1) < 1e-3 for vector in read_vectors(str(folder), DIMENSION, 32).values())
    assert not mark_of(folder).exists()


def test_a_collection_of_another_dimension_does_not_fit(vectored):
    problem = check_folder(str(vector_folder(vectored)), DIMENSION + 1).problem
    assert problem == "header.bin holds numbers that do not fit each other"


@pytest.mark.parametrize("name", ["header.bin", "link_lists.bin", "data_level0.bin", "index_metadata.pickle"])
def test_noise_ends_in_an_answer_and_never_in_an_exception(vectored, name):
    folder = vector_folder(vectored)
    original = (folder / name).read_bytes()
    chance = random.Random(name)
    for _ in range(40):
        content = bytearray(original)
        for _ in range(chance.randrange(1, 6)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        (folder / name).write_bytes(content)
        found = check_folder(str(folder), DIMENSION)
        assert found.problem is None or found.problem.isprintable()
        read_vectors(str(folder), DIMENSION, 32)


@pytest.mark.parametrize("name", FILES)
def test_a_pipe_in_place_of_a_vector_file_is_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    assert check_folder(str(tmp_path), 4).problem == f"{name} is no plain file"


@pytest.mark.parametrize(
    "content", [b"\x80\x02}r\xff\xff\xff\x7f.", b"}p9999999999\n.", b"\x80\x02}\x8c\x05brrrrK\x01sr\x00\x00\x00\x10."]
)
def test_names_that_ask_for_much_memory_are_refused_before_they_are_read(vectored, content):
    folder = vector_folder(vectored)
    (folder / "index_metadata.pickle").write_bytes(content)
    found = check_folder(str(folder), DIMENSION)
    assert found.problem == "index_metadata.pickle asks for more memory than it can need"
