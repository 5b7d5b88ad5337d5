"""Open models of transformers from folders: quietly, whole or not at all, and never running code of their own."""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from index_store.encoders.torchvision_shim import declare_missing_operators
from index_store.errors import WeightsError, first_line

CONFIG_FILE = "config.json"
UNKNOWN_LICENCE = "not known"
_LICENCE = re.compile(r"^license:\s*[\"']?([\w.+-]+)[\"']?\s*$", re.MULTILINE)
_NAMED_WEIGHTS = 5


def open_trunk(folder: Path, takes: str) -> Any:
    """Open the model in `folder` without a head of its own, in float32 and evaluation mode.

    `takes` is what the model's main input must be: `input_ids` or `pixel_values`.

    Raises:
        WeightsError: the files are missing or damaged, or the model is of another kind.
    """
    declare_missing_operators()
    from transformers import AutoModel

    if not (folder / CONFIG_FILE).is_file():
        raise WeightsError(f"{folder}: has no {CONFIG_FILE}; put a model of transformers there; nothing was changed")
    with complaints():
        try:
            # the plain attention is what every model exports, and what ONNX Runtime's optimiser knows how to fuse
            model, report = AutoModel.from_pretrained(
                folder,
                dtype=torch.float32,
                attn_implementation="eager",
                output_loading_info=True,
                trust_remote_code=False,
                local_files_only=True,
            )
        except Exception as error:  # configs and weight files raise nearly anything
            raise WeightsError(f"{folder}: cannot be opened ({first_line(error)}); nothing was changed") from error
    if model.main_input_name != takes:
        raise WeightsError(
            f"{folder}: a model of the kind {model.config.model_type!r} takes {model.main_input_name}, and "
            f"{takes} are wanted; name another folder; nothing was changed"
        )
    _drop_pooler(model)
    # transformers would go on with random numbers in the place of what the file does not have
    lacking = sorted(set(report["missing_keys"]) & set(model.state_dict()))
    if lacking:
        named = ", ".join(lacking[:_NAMED_WEIGHTS])
        raise WeightsError(f"{folder}: the weights lack {named}; fetch the model again; nothing was changed")
    return model.eval()


def licence_of(folder: Path) -> str:
    """Return the licence that a model's README names in its first lines, as the hub's pages have it."""
    try:
        text = (folder / "README.md").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return UNKNOWN_LICENCE
    front = text.split("---", 2)[1] if text.startswith("---") and text.count("---") > 1 else ""
    found = _LICENCE.search(front)
    return found[1] if found else UNKNOWN_LICENCE


@contextmanager
def complaints() -> Iterator[list[str]]:
    """Collect what transformers would write to standard error, and hide its progress bars."""
    from transformers.utils import logging as of_transformers

    told: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(record.getMessage())

    logger = logging.getLogger("transformers")
    before, logger.handlers = logger.handlers, [Collector()]
    of_transformers.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield told
    finally:
        logger.handlers = before


def _drop_pooler(model: Any) -> None:
    """Take out a pooler that has weights and may be left out: only the states before it are read."""
    if "add_pooling_layer" in inspect.signature(type(model).__init__).parameters:
        model.pooler = None
