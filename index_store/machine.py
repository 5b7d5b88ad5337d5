"""What this machine lends to the program: cores and a device; standard library only."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from index_store.errors import EncoderError

DEVICES = ("auto", "cpu", "cuda")
DEVICE_VARIABLE = "IMGSEARCH_DEVICE"


def usable_cores() -> int:
    """Return how many cores this process may use, which `taskset` and containers can make fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def one_blas_thread() -> None:
    """Keep numpy's matrix products to one thread, unless the environment says otherwise; for before numpy's import.

    The matrices of a query and of the rule for photos are small: a second thread makes them no faster, and while it
    waits for work it takes a core from the photo tower.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@contextmanager
def paused_collector() -> Iterator[None]:
    """Look for no garbage meanwhile: the records of a large library all stay, and looking took a fifth of the time."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def has_cuda_driver() -> bool:
    """Tell whether NVIDIA's driver is here; to ask torch instead would take seconds on each machine without."""
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
