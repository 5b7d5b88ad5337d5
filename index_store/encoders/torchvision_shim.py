"""Let torchvision be imported with a CPU build of torch.

The package index serves torch for the CPU and torchvision for CUDA. The latter's `_C.so` does not load then, its
operators stay undeclared, and `import torchvision`, with everything that imports it (transformers,
sentence-transformers), fails with "operator torchvision::nms does not exist".
"""

from __future__ import annotations

import torch

_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_declared: list[torch.library.Library] = []
"""Kept for the life of the process: a library that is collected takes its declarations along."""


def declare_missing_operators() -> None:
    """Declare the operators that torchvision registers fake kernels for on import, where they are missing."""
    missing = [schema for name, schema in _SCHEMAS.items() if not hasattr(torch.ops.torchvision, name)]
    if missing:
        library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        for schema in missing:
            library.define(schema)  # type: ignore[no-untyped-call]
        _declared.append(library)
