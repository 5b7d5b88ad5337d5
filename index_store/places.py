"""Where things lie by default: the store in the user's data directory, caches in the user's cache directory."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def default_store() -> str:
    """Return the store that is used where none is named: `IMGSEARCH_STORE`, else one in the user's data directory."""
    named = os.environ.get("IMGSEARCH_STORE")
    return named or os.path.join(platformdirs.user_data_dir("imgsearch", appauthor=False), "store")


def is_url(store: str) -> bool:
    """Tell whether a store is a Chroma server and no folder."""
    return store.startswith(("http://", "https://"))


def cache_folder() -> Path:
    """Return the folder for what can be made again."""
    return Path(platformdirs.user_cache_dir("imgsearch", appauthor=False))
