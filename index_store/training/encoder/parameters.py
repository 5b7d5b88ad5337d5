"""Say where an ONNX file keeps the parameters of a tower, and read them back from there.

Libraries choose the names of what they write, and change them: ONNX Runtime's quantiser did so between 1.31 and 1.32.
So the export looks up each parameter by its value, among the tensors that the graph's own structure makes floats of,
and the encoder's card keeps the result: a table from the name that torch knows to a `Place` in the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, numpy_helper
from torch import Tensor

from index_store.errors import EncoderError, WeightsError, first_line

Array = NDArray[Any]
Arrays = dict[str, Array]
Table = dict[str, dict[str, object]]
"""The name of a parameter -> the fields of its `Place`, without those that have their default."""

_BLOCKS = "MatMulNBits"
_BLOCK_ZERO = 128
"""ONNX Runtime stores symmetric 8-bit blocks as unsigned bytes around this zero."""
_MOST_ROUNDING = 0.2
"""The length of the error of rounding to 8 bits, as a share of the parameter's; another tensor is off by about 1.4."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one parameter lies: the file's tensors of values, and of scales and zeros where it has 8 bits.

    With `columns`, the values are blocks of `MatMulNBits`, whose rows have that length; else the scales stand along
    `axis`. `transposed` tells that the file keeps a matrix the other way round than torch.
    """

    values: str
    scale: str = ""
    zero: str = ""
    axis: int = 0
    columns: int = 0
    transposed: bool = False


def parameter_table(path: Path, state: Mapping[str, Tensor]) -> Table:
    """Look up each tensor of `state` in an ONNX file; those that are not in it are left out."""
    graph = onnx.load(path).graph
    arrays = _arrays(graph)
    stored: dict[tuple[int, ...], list[tuple[Place, Array]]] = {}
    for place in _places(graph, arrays):
        array = _read(place, arrays)
        stored.setdefault(array.shape, []).append((place, array))
        if array.ndim == 2:
            turned = Place(**{**asdict(place), "transposed": True})
            stored.setdefault(array.T.shape, []).append((turned, array.T))
    table: Table = {}
    for name, tensor in state.items():
        wanted = tensor.detach().float().numpy()
        best = min(stored.get(wanted.shape, []), key=lambda found: _distance(found[1], wanted), default=None)
        if best and _distance(best[1], wanted) <= _MOST_ROUNDING * max(float(np.linalg.norm(wanted)), 1e-6):
            table[name] = _brief(best[0])
    return table


def read_parameters(path: Path, table: Mapping[str, Mapping[str, object]]) -> dict[str, Tensor]:
    """Read the parameters that the table names from an ONNX file, as float32.

    Raises:
        WeightsError: the file cannot be read.
        EncoderError: the table does not fit it.
    """
    try:
        arrays = _arrays(onnx.load(path).graph)
    except Exception as error:  # protobuf's exceptions share no base below Exception
        raise WeightsError(f"{path}: cannot be read as an encoder's ONNX file ({first_line(error)})") from error
    try:
        read = {name: _read(Place(**place), arrays) for name, place in table.items()}  # type: ignore[arg-type]
        return {name: torch.from_numpy(np.array(array, dtype=np.float32)) for name, array in read.items()}
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise EncoderError(
            f"{path}: does not fit the table of parameters in the encoder's card ({type(error).__name__}: {error}); "
            "train from the bases instead"
        ) from error


def _arrays(graph: GraphProto) -> Arrays:
    """Return the graph's constants by name: exporters write the same one as an initializer or as a node."""
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value":
                arrays[node.output[0]] = numpy_helper.to_array(attribute.t)
    return arrays


def _places(graph: GraphProto, arrays: Arrays) -> Iterator[Place]:
    """Yield all that the graph holds as floats, or makes floats of."""
    yield from (Place(name) for name, array in arrays.items() if array.dtype == np.float32)
    made_by = {output: node for node in graph.node for output in node.output}
    for node in graph.node:
        if node.op_type == _BLOCKS:
            yield Place(node.input[1], node.input[2], columns=_attribute(node, "K", 0))
        elif node.op_type == "DequantizeLinear":
            values = node.input[0]
            source = made_by.get(values)
            if source is not None and source.op_type == "Gather":  # a table of words is looked up before it is scaled
                values = source.input[0]
            if values in arrays and node.input[1] in arrays:
                zero = node.input[2] if len(node.input) > 2 else ""
                yield Place(values, node.input[1], zero, axis=_attribute(node, "axis", 1))


def _attribute(node: NodeProto, name: str, default: int) -> int:
    return next((int(attribute.i) for attribute in node.attribute if attribute.name == name), default)


def _read(place: Place, arrays: Arrays) -> Array:
    values = arrays[place.values]
    if place.columns:
        blocks = values.astype(np.float32) - _BLOCK_ZERO
        scales = arrays[place.scale].reshape(blocks.shape[:2])
        values = (blocks * scales[:, :, None]).reshape(len(blocks), -1)[:, : place.columns]
    elif place.scale:
        values = _scaled(values, arrays[place.scale], arrays[place.zero] if place.zero else np.zeros(1), place.axis)
    return values.T if place.transposed else values


def _scaled(values: Array, scale: Array, zero: Array, axis: int) -> Array:
    """Undo quantisation with one scale, or one for each place along `axis`."""
    shape = [1] * values.ndim
    if scale.size > 1:
        shape[axis] = -1
    zero = zero.astype(np.float32)
    exact: Array = (values.astype(np.float32) - zero.reshape(shape if zero.size > 1 else [1] * values.ndim)) * (
        scale.reshape(shape)
    )
    return exact


def _distance(found: Array, wanted: Array) -> float:
    return float(np.linalg.norm(found - wanted))


def _brief(place: Place) -> dict[str, object]:
    return {
        field.name: getattr(place, field.name) for field in fields(place) if getattr(place, field.name) != field.default
    }
