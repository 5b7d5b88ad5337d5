"""Write the two towers as ONNX with 8-bit weights.

Texts: blocks of 8-bit weights (`MatMulNBits`) stay within a cosine of 0.998 of the original where ONNX Runtime's
dynamic quantisation, one scale for a whole tensor of activations, falls to 0.988. Photo towers of convolutions are
quantised statically, activations too, because they gain the most speed from it; those that mostly multiply matrices,
such as ViT, whose activations have outliers, are written as the text tower is.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers import optimizer
from onnxruntime.transformers.fusion_options import FusionOptions
from torch import nn

from index_store.training.encoder.model import PhotoTower, TextTower

OPSET = 17
WEIGHT_BLOCK = 64
"""Weights that share one scale: 64 of 8 bits cost 6 % more bytes than one scale a column, and lose less."""
_EXACT_CONVOLUTIONS = 6
"""Stem and first two blocks stay in float: the least cosine of 200 photos is 0.994; it is 0.980 with three of them."""
_INT8_COMPUTE = 4
"""ONNX Runtime's accuracy level for MatMulNBits: activations are quantised block by block while it multiplies."""


class CalibrationPhotos(CalibrationDataReader):  # type: ignore[misc]
    """Feed photos to the calibration, a few at a time."""

    def __init__(self, photos: NDArray[np.uint8], batch: int = 8) -> None:
        self._batches: Iterator[NDArray[np.uint8]] = iter(
            [photos[start : start + batch] for start in range(0, len(photos), batch)]
        )

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        """Return the next batch, None after the last."""
        batch = next(self._batches, None)
        return None if batch is None else {"pixels": batch}


@contextmanager
def _without_advice() -> Iterator[None]:
    """Hide what the quantiser logs about every layer, and its advice to people who write exporters."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def export_text(tower: TextTower, path: Path) -> None:
    """Write the text tower: 8-bit weights, 8-bit embedding table, int64 `input_ids` and `attention_mask`."""
    with tempfile.TemporaryDirectory() as folder, _without_advice():
        exported, fused, table = (Path(folder) / name for name in ("exported.onnx", "fused.onnx", "table.onnx"))
        ids = torch.tensor([[2, 1, 1, 2], [2, 1, 2, 0]])  # tokens that every vocabulary has
        tokens = {0: "texts", 1: "tokens"}
        axes = {"input_ids": tokens, "attention_mask": tokens, "embedding": {0: "texts"}}
        _export(tower, (ids, (ids > 0).long()), exported, axes)
        config = getattr(tower.bert, "config", None)
        if getattr(config, "model_type", None) == "bert":  # the one kind that the fusing below was tried with
            _fuse(exported, fused, config)
        else:
            fused = exported
        quantize_dynamic(
            fused,
            table,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["Gather"],
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
        )
        _write_blocks(table, path)


def export_photo(tower: PhotoTower, path: Path, calibration: NDArray[np.uint8]) -> None:
    """Write the photo tower: uint8 `pixels` of shape (n, side, side, 3), 8-bit weights.

    `calibration` holds photos of that shape: from them come the ranges of the activations, where these are quantised
    statically.
    """
    with tempfile.TemporaryDirectory() as folder, _without_advice():
        exported, prepared = Path(folder) / "exported.onnx", Path(folder) / "prepared.onnx"
        example = torch.from_numpy(calibration[:2])
        _export(tower, (example,), exported, {"pixels": {0: "photos"}, "embedding": {0: "photos"}})
        if not _is_convolutional(tower):
            _write_blocks(exported, path)
            return
        quant_pre_process(str(exported), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            prepared,
            path,
            CalibrationPhotos(calibration),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv", "Add", "Clip", "Relu", "Gemm", "MatMul"],
            nodes_to_exclude=_first_convolutions(prepared),
            calibrate_method=CalibrationMethod.MinMax,
        )


def _export(
    tower: torch.nn.Module, inputs: tuple[torch.Tensor, ...], path: Path, axes: dict[str, dict[int, str]]
) -> None:
    names = list(axes)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the tracer warns of shapes that are constant here
        torch.onnx.export(
            tower.eval(),
            inputs,
            str(path),
            input_names=names[:-1],
            output_names=names[-1:],
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )


def _fuse(exported: Path, fused: Path, config: Any) -> None:
    """Fuse what runs faster in one piece; attention stays apart, because its weights are quantised as matrices."""
    options = FusionOptions("bert")
    options.enable_attention = False
    options.enable_embed_layer_norm = False
    model = optimizer.optimize_model(
        str(exported),
        model_type="bert",
        num_heads=config.num_attention_heads,
        hidden_size=config.hidden_size,
        opt_level=0,
        optimization_options=options,
    )
    model.save_model_to_file(str(fused))


def _write_blocks(exported: Path, path: Path) -> None:
    blocks = MatMulNBitsQuantizer(
        onnx.load(exported), bits=8, block_size=WEIGHT_BLOCK, is_symmetric=True, accuracy_level=_INT8_COMPUTE
    )
    blocks.process()
    blocks.model.save_model_to_file(str(path))


def _is_convolutional(tower: PhotoTower) -> bool:
    """Return whether most of the trunk's weights are those of convolutions."""
    modules = [*tower.front.modules(), *tower.tail.modules()]
    convolutions = sum(module.weight.numel() for module in modules if isinstance(module, nn.Conv2d))
    return convolutions >= sum(module.weight.numel() for module in modules if isinstance(module, nn.Linear))


def _first_convolutions(path: Path) -> list[str]:
    names = [str(node.name) for node in onnx.load(path).graph.node if node.op_type == "Conv"]
    return names[:_EXACT_CONVOLUTIONS]
