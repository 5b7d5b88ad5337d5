"""A training that is killed goes on from its checkpoint and ends with the weights of one that ran through."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("onnx", reason="exporting needs onnx: pip install 'imgsearch-cli[train]'")

from index_store.errors import EncoderError  # noqa: E402
from index_store.training.data.captions import DataFolder  # noqa: E402
from index_store.training.encoder import checkpoint as dual_checkpoint  # noqa: E402
from index_store.training.encoder import resumable_files as dual_files  # noqa: E402
from index_store.training.encoder.checkpoint import STATE_FILE, Checkpoints  # noqa: E402
from index_store.training.encoder.config import HeadShape  # noqa: E402
from index_store.training.encoder.resumable_files import in_parts, write_atomically  # noqa: E402
from index_store.training.encoder.train import Places, train_encoder  # noqa: E402
from tests.index_store.training.encoder.test_train import TINY, colour_data, silent, tiny_bases  # noqa: E402

ROOT = Path(__file__).parents[4]
RANDOM_TINY = replace(
    TINY,
    head=HeadShape(dimension=16, hidden=16, input_dropout=0.3, hidden_dropout=0.3),
    warmup_epochs=2,
    epochs=4,
    word_dropout=0.2,
    trunk_dropout=0.2,
    validation_share=0.2,
)
"""Everything that random numbers decide is on, and eight photos make at least one step a pass."""


def train(folder: Path, made: Path, checkpoints: Path | None, progress: object = silent) -> Path:
    places = Places(checkpoints=checkpoints, cache=folder / "cache")
    train_encoder([DataFolder(folder / "data")], made, RANDOM_TINY, progress, places, bases=tiny_bases(folder))  # type: ignore[arg-type]
    return made


def wait_at_each_step(done: int, total: int, note: str) -> None:
    """Say what is done, and go on when asked to."""
    sys.stdout.write(f"{done} {total} {note}\n")
    sys.stdout.flush()
    sys.stdin.readline()


def run_until(folder: Path, checkpoints: Path, wanted: str) -> None:
    """Train in a process of its own, step by step, and kill it when a line starts with `wanted`."""
    script = (
        "import sys; from pathlib import Path; from index_store.training.encoder import checkpoint\n"
        "from tests.index_store.training.encoder.test_checkpoint import train, wait_at_each_step\n"
        "checkpoint.SECONDS = 0.0; folder = Path(sys.argv[1])\n"
        "train(folder, folder / 'killed', Path(sys.argv[2]), wait_at_each_step)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(folder), str(checkpoints)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        assert process.stdin and process.stdout
        for line in process.stdout:
            if line.startswith(wanted):
                process.send_signal(signal.SIGKILL)
                break
            process.stdin.write("\n")
            process.stdin.flush()
        else:
            pytest.fail(f"the training ended before {wanted!r}")
        process.wait()
    assert process.returncode == -signal.SIGKILL
    assert not (folder / "killed" / "card.json").exists()


def towers(made: Path) -> dict[str, torch.Tensor]:
    state = torch.load(made / "towers.pt", weights_only=True)
    return {f"{side}.{name}": tensor for side in state for name, tensor in state[side].items()}


@pytest.mark.slow
def test_a_killed_training_ends_with_the_weights_of_one_that_ran_through(tmp_path):
    colour_data(tmp_path / "data")
    whole = towers(train(tmp_path, tmp_path / "whole", None))
    checkpoints = tmp_path / "checkpoints"
    run_until(tmp_path, checkpoints, wanted="8 16 epoch 2")  # two of four steps
    kept = torch.load(checkpoints / STATE_FILE, weights_only=True)["state"]
    assert kept["training"]["done"] == 2
    steps: list[int] = []

    def note_epochs(done: int, _total: int, note: str) -> None:
        if note.startswith("epoch"):
            steps.append(done)

    resumed = towers(train(tmp_path, tmp_path / "resumed", checkpoints, note_epochs))
    assert steps == [12, 16]
    assert resumed.keys() == whole.keys()
    for name, tensor in whole.items():
        torch.testing.assert_close(resumed[name], tensor, atol=1e-6, rtol=0, msg=name)


def test_a_checkpoint_of_another_training_is_refused_and_stays(tmp_path):
    Checkpoints(tmp_path, {"seed": 1}).save({"done": 3})
    before = (tmp_path / STATE_FILE).read_bytes()
    with pytest.raises(EncoderError, match=r"training\.pt: is the checkpoint of a training with other photos"):
        Checkpoints(tmp_path, {"seed": 2}).load()
    assert (tmp_path / STATE_FILE).read_bytes() == before
    assert Checkpoints(tmp_path, {"seed": 1}).load() == {"done": 3}


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"not a checkpoint"])
def test_a_damaged_checkpoint_is_one_line(tmp_path, content):
    (tmp_path / STATE_FILE).write_bytes(content)
    with pytest.raises(EncoderError, match=r"training\.pt: is a damaged checkpoint; move it away to begin again"):
        Checkpoints(tmp_path, {}).load()


def test_a_checkpoint_is_due_when_its_time_has_come(tmp_path, monkeypatch):
    assert not Checkpoints(tmp_path, {}).is_due()
    monkeypatch.setattr(dual_checkpoint, "SECONDS", 0.0)
    assert Checkpoints(tmp_path, {}).is_due()
    assert not Checkpoints(None, {}).is_due()
    assert Checkpoints(None, {}).load() is None


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    write_atomically(tmp_path / "file", b"old")

    def fail(file: object) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(tmp_path / "file", fail)
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("file", b"old")]


def test_arrays_go_on_behind_the_last_part_that_was_written_down(tmp_path, monkeypatch):
    monkeypatch.setattr(dual_files, "KEPT_EVERY", 4)
    rows, file, asked = np.arange(20, dtype=np.float16).reshape(10, 2), tmp_path / "rows.npy", []

    def make(start: int, until: int = 10):
        asked.append(start)
        for first in range(start, until, 2):
            yield rows[first : first + 2]
        if until < 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        in_parts(file, 10, lambda start: make(start, until=6))
    assert not file.exists()
    assert np.array_equal(in_parts(file, 10, make), rows)
    assert np.array_equal(in_parts(file, 10, make), rows)
    assert asked == [0, 4]  # four rows were written down, and a whole file is not made again
    assert [each.name for each in tmp_path.iterdir()] == ["rows.npy"]


def test_a_part_that_does_not_fit_is_made_again(tmp_path):
    (tmp_path / "rows.part").write_bytes(b"cut")
    (tmp_path / "rows.count").write_text("4")
    rows = np.ones((3, 2))
    assert np.array_equal(in_parts(tmp_path / "rows.npy", 3, lambda start: iter([rows[start:]])), rows)
