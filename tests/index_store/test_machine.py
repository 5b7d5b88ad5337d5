from __future__ import annotations

import os

import pytest

from index_store.encoders import load_photo_encoder
from index_store.errors import EncoderError
from index_store.machine import usable_cores, wanted_device


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


def test_a_device_that_onnx_runtime_lacks_is_refused():
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("ONNX Runtime has a cuda device here")
    assert load_photo_encoder(device="auto").dimension > 0
    with pytest.raises(EncoderError, match="ONNX Runtime sees no cuda device here: install onnxruntime-gpu"):
        load_photo_encoder(device="cuda")
