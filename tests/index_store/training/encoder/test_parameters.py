"""Parameters are found in an ONNX file by the table in the card, whatever the library called its tensors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")
onnx = pytest.importorskip("onnx", reason="exporting needs onnx: pip install 'imgsearch-cli[train]'")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from index_store.encoders.registry import encoder_card  # noqa: E402
from index_store.errors import EncoderError, WeightsError  # noqa: E402
from index_store.training.encoder.config import EncoderTraining  # noqa: E402
from index_store.training.encoder.onnx_weights import import_towers  # noqa: E402
from index_store.training.encoder.parameters import parameter_table, read_parameters  # noqa: E402
from index_store.training.encoder.train import build_towers  # noqa: E402

RANDOM = np.random.default_rng(0)


def write(path: Path, nodes: list, arrays: dict[str, np.ndarray]) -> Path:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None])
    constants = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    onnx.save(helper.make_model(helper.make_graph(nodes, "graph", [x], [y], constants)), path)
    return path


def quantized(path: Path) -> tuple[Path, dict[str, torch.Tensor]]:
    """Write each kind of storage under names that say nothing, and return what they hold, by hand."""
    channels = RANDOM.integers(-127, 128, (3, 2)).astype(np.int8)
    scales, zeros = np.array([0.1, 0.2, 0.4], np.float32), np.array([1, 0, -1], np.int8)
    table = RANDOM.integers(-127, 128, (7, 4)).astype(np.int8)
    blocks = RANDOM.integers(0, 256, (5, 2, 16)).astype(np.uint8)
    block_scales = RANDOM.random((5, 2)).astype(np.float32)
    bias = np.array([100, -300, 7], np.int32)
    plain = RANDOM.random((4, 6)).astype(np.float32)
    nodes = [
        helper.make_node("DequantizeLinear", ["t1", "t2", "t3"], ["a"], axis=0),
        helper.make_node("Gather", ["t4", "x"], ["b"]),
        helper.make_node("DequantizeLinear", ["b", "t5", "t6"], ["c"]),
        helper.make_node("MatMulNBits", ["x", "t7", "t8"], ["d"], domain="com.microsoft", K=30, N=5, bits=8),
        helper.make_node("DequantizeLinear", ["t9", "t5"], ["e"]),
    ]
    arrays = {"t1": channels, "t2": scales, "t3": zeros, "t4": table, "t5": np.float32(0.25), "t6": np.int8(3)}
    arrays |= {"t7": blocks, "t8": block_scales.reshape(-1), "t9": bias}
    nodes.insert(0, helper.make_node("Constant", [], ["t10"], value=numpy_helper.from_array(plain)))
    exact = {
        "convolution": (channels - zeros.astype(np.float32)[:, None]) * scales[:, None],
        "words": (table - np.float32(3)) * np.float32(0.25),
        "linear": ((blocks.astype(np.float32) - 128) * block_scales[:, :, None]).reshape(5, 32)[:, :30],
        "bias": bias * np.float32(0.25),
        "matrix": plain.T,
    }
    state = {name: torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)) for name, array in exact.items()}
    return write(path, nodes, {name: np.asarray(array) for name, array in arrays.items()}), state


def test_each_kind_of_storage_is_found_by_its_value_and_read_back(tmp_path):
    path, state = quantized(tmp_path / "graph.onnx")
    noisy = {name: tensor + 0.002 * tensor.abs().max() * torch.randn(tensor.shape) for name, tensor in state.items()}
    table = parameter_table(path, noisy)
    assert table["words"] == {"values": "t4", "scale": "t5", "zero": "t6", "axis": 1}
    assert table["matrix"] == {"values": "t10", "transposed": True}
    assert table["linear"] == {"values": "t7", "scale": "t8", "columns": 30}
    read = read_parameters(path, json.loads(json.dumps(table)))
    assert read.keys() == state.keys()
    for name, tensor in state.items():
        torch.testing.assert_close(read[name], tensor)


def test_what_the_file_does_not_hold_is_left_out(tmp_path):
    path, state = quantized(tmp_path / "graph.onnx")
    assert parameter_table(path, {"other": torch.randn(4, 6), "words": state["words"]}).keys() == {"words"}


@pytest.mark.parametrize(
    "place",
    [
        {"values": "nowhere"},
        {"values": "t1", "scale": "t4", "axis": 0},
        {"values": "t1", "scale": "t2", "axis": 5},
        {"values": "t7", "scale": "t2", "columns": 30},
        {"value": "t1"},
        {"values": ["t1"]},
        "t1",
    ],
)
def test_a_table_that_does_not_fit_is_one_line(tmp_path, place):
    path, _ = quantized(tmp_path / "graph.onnx")
    with pytest.raises(EncoderError, match=r"graph\.onnx: does not fit the table of parameters") as caught:
        read_parameters(path, {"any": place})
    assert "\n" not in str(caught.value)


def renamed(folder: Path, start: Path) -> Path:
    """Copy an encoder and give each tensor and node of its ONNX files a name that says nothing."""
    shutil.copytree(folder, start)
    card = json.loads((start / "card.json").read_text(encoding="utf-8"))
    for name in ("photo.onnx", "text.onnx"):
        model = onnx.load(start / name)
        names = {tensor.name: f"t{number}" for number, tensor in enumerate(model.graph.initializer)}
        for tensor in model.graph.initializer:
            tensor.name = names[tensor.name]
        for number, node in enumerate(model.graph.node):
            node.name = f"n{number}"
            for place, used in enumerate(node.input):
                node.input[place] = names.get(used, used)
        onnx.save(model, start / name)
        for place in card["parameters"][name].values():
            for key in ("values", "scale", "zero"):
                if key in place:
                    place[key] = names[place[key]]
    (start / "card.json").write_text(json.dumps(card), encoding="utf-8")
    return start


def test_what_ships_is_read_whole_and_names_do_not_matter(tmp_path):
    bases = pytest.importorskip("index_store.training.encoder.bases", reason="needs the bases of the extra `train`")
    shipped = encoder_card().folder
    one = build_towers(bases.load_lite2(), bases.load_minilm(), EncoderTraining())
    other = build_towers(bases.load_lite2(), bases.load_minilm(), EncoderTraining())
    import_towers(one, shipped)
    import_towers(other, renamed(shipped, tmp_path / "renamed"))
    for ours, theirs in ((one.photo, other.photo), (one.text, other.text)):
        for name, tensor in ours.state_dict().items():
            assert torch.equal(tensor, theirs.state_dict()[name]), name


def test_a_card_without_a_table_says_how_to_go_on(tmp_path):
    (tmp_path / "card.json").write_text('{"schema": 1}', encoding="utf-8")
    with pytest.raises(EncoderError, match=r"card\.json: does not say where .* use --start bases"):
        import_towers(None, tmp_path)  # type: ignore[arg-type]
    (tmp_path / "card.json").write_text("[", encoding="utf-8")
    with pytest.raises(WeightsError, match=r"card\.json: cannot be read as an encoder's card"):
        import_towers(None, tmp_path)  # type: ignore[arg-type]
