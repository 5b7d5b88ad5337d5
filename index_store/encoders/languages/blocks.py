"""Keep named arrays in one file that is read again only where it is, byte for byte, what was written.

No pickle, and no format that varies with a library's version: a line of JSON, then the arrays, little-endian. The hash
of the whole is known to whoever reads, so a file of somebody else, or one that was cut short, is as good as none.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from index_store.user_text import open_regular

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[np.generic]]

_ALIGNED = 64


def packed(arrays: Arrays) -> bytes:
    """Return the arrays as bytes, the same for the same arrays."""
    plain = {name: np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")) for name, array in arrays.items()}
    # ascontiguousarray makes a row of a single number, so the shape is the original's
    table = [[name, array.dtype.str, list(arrays[name].shape)] for name, array in plain.items()]
    parts = [_padded(json.dumps(table).encode() + b"\n"), *(_padded(array.tobytes()) for array in plain.values())]
    return b"".join(parts)


def unpacked(content: bytes) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of `packed`; they share the memory of `content`."""
    header, _, _ = content.partition(b"\n")
    place = len(_padded(header + b"\n"))
    arrays: dict[str, NDArray[np.generic]] = {}
    for name, kind, shape in json.loads(header):
        array = np.frombuffer(content, np.dtype(kind), int(np.prod(shape, dtype=np.int64)), place).reshape(shape)
        arrays[name] = array
        place += -(-array.nbytes // _ALIGNED) * _ALIGNED
    return arrays


def read_known(path: Path, size: int, digest: str) -> bytes | None:
    """Return a file's content where it has this size and SHA-256, else None; nothing but a plain file is opened."""
    with suppress(OSError), open_regular(str(path)) as file:
        if os.fstat(file.fileno()).st_size == size:
            content = file.read(size)
            return content if hashlib.sha256(content).hexdigest() == digest else None
    return None


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that its owner alone can read; others see all of it or nothing. What cannot be written is not."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, unfinished = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            os.replace(unfinished, path)
        except OSError:
            os.unlink(unfinished)
            raise


def _padded(content: bytes) -> bytes:
    return content + b" " * (-len(content) % _ALIGNED)
