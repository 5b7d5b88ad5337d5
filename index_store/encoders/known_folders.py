"""Remember in which folder this user has each encoder, so that a store that was built with it finds it by itself.

What a store says never opens a folder, since a store may come from anybody: the folders stand in a file of the user's
own data directory, and one counts only while the fingerprint of its weights is the one in the encoder's name.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

import platformdirs

from index_store.user_text import read_json

_FILE = "encoders.json"
_MOST = 200


def remember_folder(name: str, folder: Path) -> None:
    """Note that the encoder `name` lies in `folder`; where this user has no data directory, nothing is noted."""
    known, place = _known(), os.path.abspath(folder)
    if known.get(name) == place:
        return
    known = {**{other: path for other, path in known.items() if other != name}, name: place}
    file = _file()
    fresh = file.with_name(f"{_FILE}.{os.getpid()}")
    with suppress(OSError):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh.write_text(json.dumps(dict(list(known.items())[-_MOST:])), encoding="utf-8")
        fresh.replace(file)


def known_folder(name: str) -> Path | None:
    """Return the folder that was last noted for an encoder; nobody knows whether it is still there."""
    place = _known().get(name)
    return Path(place) if place else None


def _known() -> dict[str, str]:
    try:
        content = read_json(_file())
    except (OSError, ValueError):
        return {}
    entries = content.items() if isinstance(content, dict) else ()
    return {name: place for name, place in entries if isinstance(place, str) and os.path.isabs(place)}


def _file() -> Path:
    return Path(platformdirs.user_data_dir("imgsearch", appauthor=False)) / _FILE
