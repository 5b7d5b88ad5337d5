"""Decide whether a run can go to Ray, before anything is written; Ray itself is not imported here."""

from __future__ import annotations

import os
import re
import secrets
import socket
from dataclasses import dataclass
from importlib.util import find_spec

from index_store.errors import ClusterError, MissingExtraError, UsageError, os_reason
from index_store.paths import is_url, shown_place

HERE = "auto"
"""The address that means the Ray which runs on this machine."""

_CONNECT_SECONDS = 5.0
_ADDRESS = re.compile(r"(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):(?P<port>\d{1,5})")
_TOKEN_VARIABLES = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


@dataclass(frozen=True, slots=True)
class RayOptions:
    """Where Ray works: `address` is HOST:PORT of a cluster's head or `auto`; None starts a local Ray for one run."""

    address: str | None = None


def refuse_unusable(place: str, options: RayOptions) -> None:
    """Raise where a run on Ray cannot begin.

    Raises:
        UsageError: the store is a folder, or the address is none.
        MissingExtraError: Ray is not installed.
        ClusterError: nothing answers at the address.
    """
    if not is_url(place):
        raise UsageError(
            f"{shown_place(place)}: a store in a folder has one writer, and with --ray every actor writes; start a "
            "server with 'chroma run --path DIR' and name it: --store http://HOST:PORT; nothing was changed"
        )
    if find_spec("ray") is None:
        raise MissingExtraError("--ray needs Ray: pip install 'imgsearch-cli[ray]'")
    if options.address not in {None, HERE}:
        _refuse_silent(options.address or "")


def _refuse_silent(address: str) -> None:
    """Raise where no Ray can listen: Ray itself would try for a quarter of an hour, or end the process."""
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise UsageError(
            f"{address!r}: --ray-address is HOST:PORT of the cluster's head, as 'ray start --head' names it, or "
            f"{HERE}; nothing was changed"
        )
    try:
        with socket.create_connection((found["host"].strip("[]"), int(found["port"])), _CONNECT_SECONDS) as connection:
            if os.environ.get("RAY_USE_TLS", "0") == "0" and not _speaks_grpc(connection):
                raise ClusterError(f"{address}: what answers there is no Ray cluster; nothing was changed")
    except (OSError, OverflowError) as error:
        reason = os_reason(error) if isinstance(error, OSError) else "there is no such port"
        raise ClusterError(f"{address}: no Ray cluster answers there ({reason}); nothing was changed") from error


def _speaks_grpc(connection: socket.socket) -> bool:
    """Whether the other side begins as HTTP/2 does (RFC 9113, 3.4): with a frame of settings, whose type is 4."""
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
    answer = b""
    while len(answer) < 4 and (part := connection.recv(4 - len(answer))):
        answer += part
    return answer[3:] == b"\4"


def keep_to_ourselves(options: RayOptions) -> None:
    """Set what Ray reads while it is imported: others on this machine must not give work to a local Ray.

    Without a token of ours it would make a file with one in the home folder, and print that.
    """
    # under `uv run` Ray would copy the working directory, perhaps the photos, to the cluster
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    if options.address is not None:
        return
    os.environ.setdefault("RAY_worker_niceness", "0")  # else actors get what other programs leave, unlike a plain run
    os.environ.setdefault("RAY_gcs_server_port_wait_time_s", "120")  # 30 are few on a busy machine
    if not any(name in os.environ for name in _TOKEN_VARIABLES):
        os.environ["RAY_AUTH_MODE"], os.environ["RAY_AUTH_TOKEN"] = "token", secrets.token_hex(32)
