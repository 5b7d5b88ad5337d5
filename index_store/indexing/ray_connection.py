"""Start a local Ray that lasts for one run, or connect to a cluster, and keep what Ray prints off stdout."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any

import ray
import ray._private.node as ray_node
import ray._private.worker as ray_worker

from index_store.errors import ClusterError
from index_store.machine import usable_cores

_LOG = logging.getLogger(__name__)

OBJECT_STORE_BYTES = 100_000_000
"""Of a local Ray. Only names of files and short reports pass through it."""


@contextmanager
def connected(address: str | None, most: int | None) -> Iterator[None]:
    """Start a local Ray or connect to a cluster, and leave it at the end; one that the caller has is used.

    Raises:
        ClusterError: Ray cannot be started or reached.
    """
    if ray.is_initialized():
        yield
        return
    # Ray prints what became of its workers, log_to_driver or not, and on stdout
    with _replaced(ray_worker, print_to_stdstream=_log_instead), _started(address, most):
        yield


@contextmanager
def _started(address: str | None, most: int | None) -> Iterator[None]:
    terminated = signal.getsignal(signal.SIGTERM)
    try:
        with _nowhere(), few_processes() if address is None else nullcontext():
            context = ray.init(
                log_to_driver=False, configure_logging=False, logging_level=logging.ERROR, **_place(address, most)
            )
    except Exception as error:  # Ray raises this very class where a machine is too busy to start it in 30 s
        with suppress(Exception):
            ray.shutdown()
        what = "a local Ray cannot be started" if address is None else f"{address}: cannot be used as a Ray cluster"
        raise ClusterError(f"{what} ({' '.join(str(error).split())[:300]}); nothing was embedded") from error
    try:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, terminated)  # Ray's own would end the process without a word
        _LOG.info("Ray's logs are in %s", context.address_info.get("session_dir"))
        yield
    finally:
        ray.shutdown()


def _log_instead(data: dict[str, Any], ignore_prefix: bool) -> None:
    for line in data["lines"]:
        _LOG.info("Ray: %s", line)


def _place(address: str | None, most: int | None) -> dict[str, Any]:
    if address is not None:
        return {"address": address}
    return {
        "address": "local",  # without it RAY_ADDRESS would lead to a cluster that nobody named
        "num_cpus": min(usable_cores(), most or usable_cores()),
        "object_store_memory": OBJECT_STORE_BYTES,
        "include_dashboard": False,
        "_node_ip_address": "127.0.0.1",
    }


def few_processes() -> AbstractContextManager[None]:
    """Start no autoscaler, no dashboard (of which a part runs when it is off) and nothing that reads logs.

    They serve clusters and people who look at them, and take a third of the time that a local Ray takes to start.
    """
    return _replaced(
        ray_node.Node,
        start_monitor=lambda node: None,
        start_log_monitor=lambda node: None,
        start_api_server=lambda node, **options: setattr(node, "_webui_url", ""),
    )


@contextmanager
def _replaced(owner: Any, **others: Any) -> Iterator[None]:
    """Put other functions in place of some, of a module or class, and take them away at the end."""
    before = {name: getattr(owner, name) for name in others}
    try:
        for name, other in others.items():
            setattr(owner, name, other)
        yield
    finally:
        for name, function in before.items():
            setattr(owner, name, function)


@contextmanager
def _nowhere() -> Iterator[None]:
    """Stand in the root folder while Ray starts: workers look for modules where the driver stands, among the photos."""
    try:
        before = os.getcwd()
    except OSError:  # it is gone
        before = ""
    os.chdir(os.sep)
    try:
        yield
    finally:
        if before:
            os.chdir(before)
