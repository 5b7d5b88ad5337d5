"""The library behind `imgsearch`: photos in, ranked answers out. It never prints and never exits."""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from index_store.library import Library
    from index_store.queries.ask import search
    from index_store.records import Answer, Match

__all__ = ["Answer", "Library", "Match", "search"]

__version__ = "0.1.0"

_SILENT = {
    "ORT_DISABLE_TELEMETRY": "1",
    "ANONYMIZED_TELEMETRY": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""What keeps ONNX Runtime, Chroma, the model hub's library and Ray from reporting to their makers."""

# ONNX Runtime reads its variable while it is imported; every import of it here comes after this one. What the user has
# set stays as it is: who wants to report may
for _name, _value in _SILENT.items():
    os.environ.setdefault(_name, _value)

_PUBLIC = {
    "Library": "index_store.library",
    "search": "index_store.queries.ask",
    "Answer": "index_store.records",
    "Match": "index_store.records",
}
"""What people import from here, and where it is: it is imported when it is asked for, so that `--help` stays quick."""


def __getattr__(name: str) -> Any:
    """Import a public name when it is asked for (PEP 562)."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
