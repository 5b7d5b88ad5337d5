"""Distinguish the roots that this user indexed on this machine from those that a store merely names.

A bare `imgsearch index` reads every root of the store and, where the store is a server, sends what it finds there. So
what a foreign store names must not decide what is read: each root carries a keyed hash, made with a key that never
leaves the user's data directory. Standard library only.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from functools import cache
from pathlib import Path

import platformdirs

_KEY_FILE = "machine.key"
_KEY_BYTES = 32


def seal(*facts: str) -> str:
    """Return the keyed hash of some facts, "" where this user has no place to keep a key."""
    key = _key()
    if key is None:
        return ""
    digest = hashlib.blake2b(key=key, digest_size=16)
    for fact in facts:
        content = fact.encode("utf-8", "surrogatepass")
        digest.update(len(content).to_bytes(8))
        digest.update(content)
    return digest.hexdigest()


def is_sealed(sealed: object, *facts: str) -> bool:
    """Return whether `seal` made this text of these facts, for this user on this machine."""
    expected = seal(*facts)
    return bool(expected) and isinstance(sealed, str) and hmac.compare_digest(expected.encode(), sealed.encode())


@cache
def _key() -> bytes | None:
    folder = Path(platformdirs.user_data_dir("imgsearch", appauthor=False))
    with suppress(OSError):
        return _read(folder / _KEY_FILE)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # written to a file of its own and linked, so that two first runs at once agree on one key
        fresh = folder / f"{_KEY_FILE}.{os.getpid()}"
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_KEY_BYTES))
        with suppress(FileExistsError):
            os.link(fresh, folder / _KEY_FILE)
        fresh.unlink()
        return _read(folder / _KEY_FILE)
    except OSError:
        return None


def _read(path: Path) -> bytes | None:
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(_KEY_BYTES + 1)
    return content if len(content) == _KEY_BYTES else None
