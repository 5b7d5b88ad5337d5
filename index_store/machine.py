"""What this machine offers: cores and a device; standard library only."""

from __future__ import annotations

import gc
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from index_store.errors import EncoderError

DEVICES = ("auto", "cpu", "cuda")
DEVICE_VARIABLE = "IMGSEARCH_DEVICE"

DECODER_BYTES = 300_000_000
"""What a decoder needs for the photos of a camera."""

MAIN_BYTES = 600_000_000
"""What the process that encodes and writes needs, without its decoders."""

_UNBOUNDED_BYTES = 1 << 60
"""Version 1 of control groups writes a number near 2**63 where memory is not bound."""

_ROOT = Path("/")

_share: list[int] = []
"""The cores that were left to this process, the last number counts; empty where it has the machine for itself."""


def usable_cores(system: Path = _ROOT) -> int:
    """Return how many cores this process may use, which `taskset` and containers can make fewer than there are.

    A quota of one and a half cores counts as two. `system` is the folder that holds `proc` and `sys`. After
    `share_cores` it is the share of this process.
    """
    if _share:
        return _share[-1]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [_cpu_quota(group) for group in control_groups("cpu", system)]
    return max(1, min([cores, *(math.ceil(quota) for quota in quotas if quota is not None)]))


def share_cores(count: int) -> None:
    """Leave `count` cores to this process from now on: others like it work on the rest of the machine."""
    _share.append(count)


def memory_limit(system: Path = _ROOT) -> int | None:
    """Return how many bytes of memory the container leaves to this process, or None where nothing bounds them."""
    limits = [
        limit
        for group in control_groups("memory", system)
        for name in ("memory.max", "memory.limit_in_bytes")
        if (limit := _number(group / name)) is not None and limit < _UNBOUNDED_BYTES
    ]
    return min(limits, default=None)


def usable_workers(system: Path = _ROOT) -> int:
    """Return how many decoders may run side by side: one for each core, as far as the memory goes."""
    limit = memory_limit(system)
    cores = usable_cores(system)
    return cores if limit is None else max(1, min(cores, (limit - MAIN_BYTES) // DECODER_BYTES))


def control_groups(controller: str, system: Path = _ROOT) -> list[Path]:
    """Return the folders of the control groups (Linux) that bind this process for a controller, `cpu` or `memory`.

    They are the process's own group and all above it, of version 2 (one tree for all) and of version 1 (a tree for
    each controller). A container often sees its own group as the top of the tree, but itself under its outer name;
    a folder that is not there binds nothing.
    """
    try:
        lines = (system / "proc/self/cgroup").read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    mounted, found = system / "sys/fs/cgroup", list[Path]()
    for line in lines:
        if line.count(":") < 2:
            continue
        _, controllers, name = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        trees = (controllers, controller) if controllers else ("", "unified")
        inner = PurePosixPath("/", name)
        found += [mounted / tree / str(path).lstrip("/") for tree in trees for path in (inner, *inner.parents)]
    return list(dict.fromkeys(found))


def _cpu_quota(group: Path) -> float | None:
    """Return the cores' worth of time that a group may use, or None where it is not bound."""
    with suppress(OSError, ValueError):  # version 2: "max 100000" or "150000 100000", microseconds
        quota, period = (group / "cpu.max").read_text("ascii").split()
        return None if quota == "max" else int(quota) / max(1, int(period))
    quota_us, period_us = _number(group / "cpu.cfs_quota_us"), _number(group / "cpu.cfs_period_us")
    return quota_us / period_us if quota_us and period_us and quota_us > 0 else None  # -1 where it is not bound


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):
        return None


def one_blas_thread() -> None:
    """Keep numpy's matrix products to one thread, unless the environment says otherwise; for before numpy's import.

    The matrices of a query and of the rule for photos are small: a second thread makes them no faster, and while it
    waits for work it takes a core from the photo tower.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@contextmanager
def paused_collector() -> Iterator[None]:
    """Disable the cyclic garbage collector: the records of a large library all stay; it took a fifth of the time."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def has_cuda_driver() -> bool:
    """Return whether NVIDIA's driver is here; to ask torch instead would take seconds on each machine without."""
    import ctypes  # late: a query asks for no GPU

    for library in ("libcuda.so.1", "nvcuda.dll"):
        with suppress(OSError):
            ctypes.CDLL(library)
            return True
    return False


def wanted_device(name: str | None = None) -> str:
    """Return the device that was asked for, by `name` or else by the environment; `auto` where neither says.

    Raises:
        EncoderError: there is no device of that name.
    """
    wanted = name or os.environ.get(DEVICE_VARIABLE) or "auto"
    if wanted not in DEVICES:
        raise EncoderError(f"{wanted!r} is no device; name one of {', '.join(DEVICES)}")
    return wanted
