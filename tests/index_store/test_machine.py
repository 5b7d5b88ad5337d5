from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

from index_store import machine
from index_store.errors import EncoderError
from index_store.machine import (
    has_cuda_driver,
    memory_limit,
    paused_collector,
    usable_cores,
    usable_workers,
    wanted_device,
)


@pytest.fixture(autouse=True)
def machine_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave all cores to this process, as in a process that does not have to share them."""
    monkeypatch.setattr(machine, "_share", [])


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


def system(folder: Path, groups: str, files: dict[str, str]) -> Path:
    """Make the files by which Linux tells a process of its control groups."""
    (folder / "proc" / "self").mkdir(parents=True)
    (folder / "proc" / "self" / "cgroup").write_text(groups)
    for name, content in files.items():
        path = folder / "sys" / "fs" / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    return folder


def quota(folder: str, quota_us: int, period_us: int = 100_000) -> dict[str, str]:
    """Return the files of version 1."""
    return {f"{folder}/cpu.cfs_quota_us": str(quota_us), f"{folder}/cpu.cfs_period_us": str(period_us)}


QUOTAS = [
    ("version 2, own group at the top", "0::/\n", {"cpu.max": "200000 100000"}, 2),
    ("version 2, not bound", "0::/\n", {"cpu.max": "max 100000"}, 32),
    ("version 2, one and a half", "0::/a/b\n", {"a/b/cpu.max": "150000 100000"}, 2),
    ("version 2, half a core", "0::/a\n", {"a/cpu.max": "50000 100000"}, 1),
    ("version 2, bound further up", "0::/a/b\n", {"a/cpu.max": "300000 100000", "a/b/cpu.max": "max 100000"}, 3),
    ("version 2, named as outside", "0::/docker/123\n", {"cpu.max": "400000 100000"}, 4),
    ("version 2, a hybrid", "1:cpu:/\n0::/x\n", {"unified/x/cpu.max": "200000 100000"}, 2),
    ("version 1", "4:cpu,cpuacct:/\n", quota("cpu,cpuacct", 200_000), 2),
    ("version 1, own mount", "4:cpu,cpuacct:/d\n", quota("cpu/d", 50_000, 25_000), 2),
    ("version 1, named as outside", "4:cpu:/docker/1\n", quota("cpu", 300_000), 3),
    ("version 1, bound further up", "4:cpu:/a/b\n", quota("cpu/a", 300_000) | quota("cpu/a/b", -1), 3),
    ("version 1, not bound", "4:cpu:/\n", quota("cpu", -1), 32),
    ("another controller", "4:memory:/\n", quota("cpu", 100_000), 32),
    ("a period of nothing", "4:cpu:/\n", quota("cpu", 100_000, 0), 32),
    ("damaged", "0::/\n", {"cpu.max": "many"}, 32),
    ("damaged list", "nonsense\n", {"cpu.max": "100000 100000"}, 32),
    ("no list", "", {}, 32),
]


@pytest.mark.parametrize(("groups", "files", "cores"), [row[1:] for row in QUOTAS], ids=[row[0] for row in QUOTAS])
def test_a_container_may_bound_the_cores(tmp_path, monkeypatch, groups, files, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(32)), raising=False)
    assert usable_cores(system(tmp_path, groups, files)) == cores


def test_a_system_without_control_groups_bounds_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(32)), raising=False)
    assert (usable_cores(tmp_path), usable_workers(tmp_path), memory_limit(tmp_path)) == (32, 32, None)


LIMITS = [
    ("version 2", "0::/a\n", {"a/memory.max": "1500000000"}, 1_500_000_000, 3),
    ("version 2, not bound", "0::/a\n", {"a/memory.max": "max"}, None, 32),
    ("version 2, bound further up", "0::/a/b\n", {"memory.max": "max", "a/memory.max": "900000000"}, 900_000_000, 1),
    ("version 1", "4:memory:/a\n", {"memory/a/memory.limit_in_bytes": "1200000000"}, 1_200_000_000, 2),
    ("version 1, not bound", "4:memory:/\n", {"memory/memory.limit_in_bytes": "9223372036854771712"}, None, 32),
    ("very little", "0::/\n", {"memory.max": "1000000"}, 1_000_000, 1),
]


@pytest.mark.parametrize(
    ("groups", "files", "limit", "workers"), [row[1:] for row in LIMITS], ids=[r[0] for r in LIMITS]
)
def test_a_container_may_bound_the_memory_and_so_the_decoders(tmp_path, monkeypatch, groups, files, limit, workers):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(32)), raising=False)
    place = system(tmp_path, groups, files)
    assert (memory_limit(place), usable_workers(place)) == (limit, workers)


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
