"""The photo tower on torch: each operation as ONNX Runtime computes it, and the shipped tower as a whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from index_store.encoders.gpu_photos import BATCH, GpuPhotoEncoder
from index_store.encoders.onnx_dual import OnnxPhotoEncoder
from index_store.encoders.onnx_graph import OPERATIONS, OnnxGraph
from index_store.encoders.registry import encoder_card, load_photo_encoder
from index_store.errors import EncoderError, WeightsError
from index_store.photos.open import open_photo
from tests.demo_photos import main as copy_demo_photos

RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.normal(size=(3, 4, 7, 6)).astype(np.float32)
ROWS = RANDOM.normal(size=(3, 5)).astype(np.float32)


def floats(*shape: int) -> np.ndarray:
    return RANDOM.normal(size=shape).astype(np.float32)


def write(folder: Path, nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], shape: tuple[int, ...]) -> Path:
    """Write a graph from `x` to `y` as a file."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *shape[1:]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "graph.onnx")
    return folder / "graph.onnx"


def both(path: Path, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return OnnxGraph(path, "cpu").run(rows), session.run(None, {"x": rows})[0]


def node(kind: str, *constants: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(kind, ["x", *constants], ["y"], **attributes)


CASES = {
    "Add": (node("Add", "c"), {"c": floats(5)}, ROWS),
    "Sub": (node("Sub", "c"), {"c": floats(5)}, ROWS),
    "Mul": (node("Mul", "c"), {"c": floats(5)}, ROWS),
    "Div": (node("Div", "c"), {"c": floats(5) + 4}, ROWS),
    "Clip": (node("Clip", "low", "high"), {"low": np.float32(-0.5), "high": np.float32(0.7)}, ROWS),
    "Relu": (node("Relu"), {}, ROWS),
    "Erf": (node("Erf"), {}, ROWS),
    "Cast": (node("Cast", to=TensorProto.FLOAT), {}, ROWS),
    "Concat": (node("Concat", "x", axis=-1), {}, ROWS),
    "MatMul": (node("MatMul", "c"), {"c": floats(5, 2)}, ROWS),
    "Gemm": (node("Gemm", "w", "b"), {"w": floats(5, 2), "b": floats(2)}, ROWS),
    "Gemm, turned": (node("Gemm", "w", "b", transB=1), {"w": floats(2, 5), "b": floats(2)}, ROWS),
    "LayerNormalization": (
        node("LayerNormalization", "w", "b", axis=-1, epsilon=1e-3),
        {"w": floats(5), "b": floats(5)},
        ROWS,
    ),
    "ReduceL2": (node("ReduceL2", axes=[-1], keepdims=1), {}, ROWS),
    "ReduceMean": (node("ReduceMean", axes=[2, 3], keepdims=0), {}, PIXELS),
    "Transpose": (node("Transpose", perm=[0, 3, 1, 2]), {}, PIXELS),
    "Conv, uneven edges": (
        node("Conv", "w", "b", kernel_shape=[3, 3], pads=[0, 0, 1, 2], strides=[2, 1], dilations=[1, 1], group=1),
        {"w": floats(2, 4, 3, 3), "b": floats(2)},
        PIXELS,
    ),
    "Conv, one group a channel": (
        node("Conv", "w", kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[1, 1], dilations=[1, 1], group=4),
        {"w": floats(4, 1, 3, 3)},
        PIXELS,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_an_operation_is_computed_as_onnx_runtime_does(case, tmp_path):
    step, constants, rows = CASES[case]
    constants = {name: np.asarray(array) for name, array in constants.items()}
    ours, theirs = both(write(tmp_path, [step], constants, rows.shape), rows)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
def test_numbers_are_rounded_to_8_bits_and_back_as_onnx_runtime_does(kind, tmp_path):
    """Halves go to even, what is out of range is cut, and weights have a scale for each channel."""
    rows = np.concatenate([np.arange(-600, 600) / 4, [1e9, -1e9]]).astype(np.float32).reshape(-1, 2)
    constants = {
        "scale": np.asarray(0.5, dtype=np.float32),
        "zero": np.asarray(7, dtype=kind),
        "w8": RANDOM.integers(-128, 128, (3, 2)).astype(np.int8),
        "scales": np.asarray([0.1, 0.2, 0.3], dtype=np.float32),
        "zeros": np.zeros(3, dtype=np.int8),
        "bias": np.asarray([5, -5, 0], dtype=np.int32),
        "unit": np.asarray([0.25], dtype=np.float32),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["x8"]),
        helper.make_node("DequantizeLinear", ["x8", "scale", "zero"], ["rounded"]),
        helper.make_node("DequantizeLinear", ["w8", "scales", "zeros"], ["w"], axis=0),
        helper.make_node("DequantizeLinear", ["bias", "unit"], ["b"], axis=0),
        helper.make_node("Gemm", ["rounded", "w", "b"], ["y"], transB=1),
    ]
    ours, theirs = both(write(tmp_path, nodes, constants, rows.shape), rows)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-4)


def test_a_row_is_divided_by_its_length_whatever_the_batch(tmp_path):
    nodes = [
        helper.make_node("ReduceL2", ["x"], ["length"], axes=[-1], keepdims=1),
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Constant", [], ["least"], value=numpy_helper.from_array(np.float32(1e-12))),
        helper.make_node("Clip", ["length", "least", ""], ["safe"]),
        helper.make_node("Expand", ["safe", "shape"], ["wide"]),
        helper.make_node("Div", ["x", "wide"], ["y"]),
    ]
    path = write(tmp_path, nodes, {}, ROWS.shape)
    for rows in (ROWS, ROWS[:1]):
        ours, theirs = both(path, rows)
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_an_operation_that_is_not_known_is_named(tmp_path):
    path = write(tmp_path, [helper.make_node("Softsign", ["x"], ["y"])], {}, ROWS.shape)
    assert "Softsign" not in OPERATIONS
    with pytest.raises(EncoderError, match=r"graph\.onnx: Softsign cannot be run on a GPU here; name cpu or auto"):
        OnnxGraph(path, "cpu")


def test_a_file_that_is_no_graph_is_named(tmp_path):
    (tmp_path / "graph.onnx").write_bytes(b"\xff" * 100)
    with pytest.raises(WeightsError, match=r"graph\.onnx: cannot be read as an ONNX file"):
        OnnxGraph(tmp_path / "graph.onnx", "cpu")


def test_the_shipped_tower_gives_the_same_embeddings(tmp_path):
    card = encoder_card()
    copy_demo_photos(str(tmp_path / "photos"))
    paths = [path for path in sorted((tmp_path / "photos").iterdir()) if path.suffix != ".tsv"][:8]
    photos = [open_photo(str(path), card.photo_input).pixels for path in paths]
    torch_rows, onnx_rows = (
        GpuPhotoEncoder(card, "cpu").encode_photos(photos),
        OnnxPhotoEncoder(card).encode_photos(photos),
    )
    cosines = (torch_rows * onnx_rows).sum(axis=1)
    assert cosines.mean() > 0.998
    assert cosines.min() > 0.996
    assert (torch_rows @ onnx_rows.T).argmax(axis=1).tolist() == list(range(len(photos)))


def test_batches_keep_their_order_and_bad_photos_are_refused(monkeypatch):
    encoder = GpuPhotoEncoder(encoder_card(), "cpu")
    side = encoder.photo_input.side
    monkeypatch.setattr(encoder, "_graph", Firsts())
    photos = [np.full((side, side, 3), number, dtype=np.uint8) for number in range(BATCH + 2)]
    assert encoder.encode_photos(photos)[:, 0].tolist() == list(range(BATCH + 2))
    assert encoder.encode_photos([]).shape == (0, encoder.dimension)
    with pytest.raises(EncoderError, match="photo 0 is uint8 of shape"):
        encoder.encode_photos([np.zeros((5, 5, 3), dtype=np.uint8)])
    monkeypatch.setattr(encoder, "_graph", OutOfMemory())
    with pytest.raises(EncoderError, match="the GPU failed .CUDA out of memory.; go on with --device cpu"):
        encoder.encode_photos(photos)


class Firsts:
    """In place of a graph: the first number of each photo."""

    def run(self, photos: np.ndarray) -> np.ndarray:
        return np.repeat(photos[:, 0, 0, :1].astype(np.float32), encoder_card().dimension, axis=1)


class OutOfMemory:
    """In place of a graph that does not fit."""

    def run(self, photos: np.ndarray) -> np.ndarray:
        raise RuntimeError("CUDA out of memory")


def test_without_a_gpu_cuda_is_refused_and_auto_goes_on(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("index_store.encoders.registry.has_cuda_driver", lambda: True)
    assert isinstance(load_photo_encoder(device="auto"), OnnxPhotoEncoder)
    with pytest.raises(EncoderError, match="no cuda device that torch can use"):
        load_photo_encoder(device="cuda")


def test_auto_takes_the_gpu_where_there_is_one(monkeypatch):
    monkeypatch.setattr("index_store.encoders.gpu_photos.chosen_device", lambda _: "cpu")
    monkeypatch.setattr("index_store.encoders.registry.has_cuda_driver", lambda: True)
    assert isinstance(load_photo_encoder(device="auto"), GpuPhotoEncoder)
    assert isinstance(load_photo_encoder(device="cpu"), OnnxPhotoEncoder)
