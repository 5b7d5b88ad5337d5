from __future__ import annotations

import gc
import os

import pytest

from index_store.errors import EncoderError
from index_store.machine import has_cuda_driver, paused_collector, usable_cores, wanted_device


def test_cores_are_those_that_this_process_may_use():
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot bind a process to cores")
def test_a_process_bound_to_one_core_counts_one():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_the_device_is_named_or_comes_from_the_environment(monkeypatch):
    monkeypatch.delenv("IMGSEARCH_DEVICE", raising=False)
    assert wanted_device() == "auto"
    monkeypatch.setenv("IMGSEARCH_DEVICE", "cpu")
    assert wanted_device() == "cpu"
    assert wanted_device("cuda") == "cuda"
    with pytest.raises(EncoderError, match="'tpu' is no device; name one of auto, cpu, cuda"):
        wanted_device("tpu")


def test_a_driver_is_looked_for_under_its_names(monkeypatch):
    asked: list[str] = []

    def missing(name: str) -> None:
        asked.append(name)
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr("ctypes.CDLL", missing)
    assert (has_cuda_driver(), asked) == (False, ["libcuda.so.1", "nvcuda.dll"])
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())
    assert has_cuda_driver()


def test_the_collector_goes_on_after_a_pause_where_it_ran_before():
    with paused_collector():
        assert not gc.isenabled()
        with paused_collector():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
