"""Read an encoder's ONNX files back into float towers, so that training can go on from what ships.

Only the 8-bit files ship; the float originals are twice the size of all that the program may weigh. What comes back
differs from them by the rounding to 8 bits, which training soon forgets.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, numpy_helper
from torch import Tensor

from index_store.encoders.cards import PHOTO_FILE, TEXT_FILE
from index_store.errors import EncoderError, WeightsError
from index_store.neural.dual_model import DualModel, PhotoTower, TextTower

Array = NDArray[Any]
Arrays = dict[str, Array]

_BLOCKS = "MatMulNBits"
_BLOCK_ZERO = 128
"""ONNX Runtime stores symmetric 8-bit blocks as unsigned bytes around this zero."""


def import_towers(model: DualModel, folder: Path) -> None:
    """Fill the towers with the weights of the ONNX files in `folder`.

    Raises:
        WeightsError: a file is missing or cannot be read.
        EncoderError: the files are of towers of another build.
    """
    for tower, name in ((model.photo, PHOTO_FILE), (model.text, TEXT_FILE)):
        path = folder / name
        try:
            weights = _weights(onnx.load(path))
        except (OSError, ValueError) as error:
            raise WeightsError(f"{path}: cannot be read as an encoder's ONNX file") from error
        _fill(tower, weights, path)


def _fill(tower: PhotoTower | TextTower, weights: dict[str, Tensor], path: Path) -> None:
    fresh = tower.state_dict()
    missing = sorted(set(fresh) - set(weights))
    if missing:
        raise EncoderError(f"{path}: has no {missing[0]}, which these bases need; train from the bases instead")
    tower.heads.reduction = weights["heads.reduction"]  # loading would refuse another width
    try:
        tower.load_state_dict({name: weights[name] for name in fresh})
    except RuntimeError as error:
        raise EncoderError(f"{path}: does not fit these bases; train from the bases instead") from error


def _weights(graph_file: ModelProto) -> dict[str, Tensor]:
    arrays: Arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph_file.graph.initializer}
    weights = {name: array for name, array in arrays.items() if array.dtype == np.float32}
    axes = {
        node.input[0]: attribute.i
        for node in graph_file.graph.node
        for attribute in node.attribute
        if node.op_type == "DequantizeLinear" and attribute.name == "axis"
    }
    for name in list(arrays):
        if name.endswith("_quantized"):
            plain = name.removesuffix("_quantized")
            scale, zero = (arrays[f"{stem}"] for stem in _scale_names(arrays, plain))
            weights[plain] = _dequantized(arrays[name], scale, zero, axes.get(name, 0))
    for node in graph_file.graph.node:
        if node.op_type == _BLOCKS:
            weights[_parameter(node)] = _from_blocks(node, arrays)
    return {name: torch.from_numpy(np.array(array, dtype=np.float32)) for name, array in weights.items()}


def _scale_names(arrays: Arrays, plain: str) -> tuple[str, str]:
    stem = f"{plain}_quantized" if f"{plain}_quantized_scale" in arrays else plain
    return f"{stem}_scale", f"{stem}_zero_point"


def _dequantized(values: Array, scale: Array, zero: Array, axis: int) -> Array:
    """Undo quantisation with one scale, or one for each place along `axis`."""
    shape = [1] * values.ndim
    if scale.size > 1:
        shape[axis] = -1
    exact: Array = (values.astype(np.float32) - zero.astype(np.float32).reshape(shape)) * scale.reshape(shape)
    return exact


def _parameter(node: NodeProto) -> str:
    """Return the torch name of a block-wise matrix from the node's: exporters number weights, but name nodes."""
    stored = str(node.input[1]).removesuffix("_Q8")
    if not stored.startswith("onnx::"):
        return stored
    module = node.name.removesuffix("_Q8").removesuffix("/MatMul").strip("/")
    return module.replace("/", ".") + ".weight"


def _from_blocks(node: NodeProto, arrays: Arrays) -> Array:
    columns = next(attribute.i for attribute in node.attribute if attribute.name == "K")
    blocks = arrays[node.input[1]].astype(np.float32) - _BLOCK_ZERO
    scales = arrays[node.input[2]].reshape(blocks.shape[:2])
    matrix = (blocks * scales[:, :, None]).reshape(len(blocks), -1)[:, :columns]
    # a matrix that torch multiplies from the right is stored as ONNX has it, and a linear layer's as torch has it
    stored: Array = matrix.T if _parameter(node) == "heads.reduction" else matrix
    return stored
