"""What a failure of Chroma is said to be."""

import os
import resource

import pytest

from index_store.errors import StoreError
from index_store.store.client import translated

CANNOT_OPEN = "error returned from database: (code: 14) unable to open database file"


@pytest.fixture
def free_handles(request):
    """Leave so many files that this process may still open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    probe = os.open(os.devnull, os.O_RDONLY)  # the lowest number that is free
    os.close(probe)
    resource.setrlimit(resource.RLIMIT_NOFILE, (probe + request.param, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("free_handles", [0, 1, 3, 9, 20], indirect=True)
def test_a_database_that_does_not_open_for_want_of_handles_names_the_way_out(free_handles, tmp_path):
    advice = r"\(code: 14\).*; too many files are open: ask for fewer --jobs"
    with pytest.raises(StoreError, match=advice), translated(str(tmp_path)):
        raise RuntimeError(CANNOT_OPEN)


def test_with_handles_left_another_reason_is_not_made_up(tmp_path):
    with pytest.raises(StoreError) as caught, translated(str(tmp_path)):
        raise RuntimeError(CANNOT_OPEN)
    assert "--jobs" not in str(caught.value)
