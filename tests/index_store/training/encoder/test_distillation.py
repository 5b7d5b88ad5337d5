"""The text tower learns alone: from a teacher, with the photo tower and its embeddings as they are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("onnx", reason="exporting needs onnx: pip install 'imgsearch-cli[train]'")

from index_store.encoders.registry import encoder_card, load_photo_encoder, load_text_encoder  # noqa: E402
from index_store.training.data.captions import DataFolder  # noqa: E402
from index_store.training.encoder import text_tower as dual_text_training  # noqa: E402
from index_store.training.encoder.distillation import TextTraining, pieces_of, teaching_loss  # noqa: E402
from index_store.training.encoder.teachers import TeacherTraining, pooled_features  # noqa: E402
from index_store.training.encoder.text_tower import train_texts  # noqa: E402
from index_store.training.encoder.train import Places, train_encoder  # noqa: E402
from tests.index_store.training.encoder.test_train import COLOURS, SIDE, TINY, colour_data, silent, tiny_bases  # noqa: E402

TINY_TEXTS = TextTraining(
    seed=1,
    validation_share=0.0,
    epochs=30,
    batch=4,
    pieces=4,
    contrast=1.0,
    word_dropout=0.0,
    rate_trunk=1e-3,
    rate_heads=3e-3,
    teacher=TeacherTraining(heads=2, hidden=16, input_dropout=0.0, hidden_dropout=0.0, epochs=30, batch=4, rate=1e-2),
)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder whose text tower has learned next to nothing."""
    folder = tmp_path_factory.mktemp("start")
    data = [DataFolder(colour_data(folder / "data"))]
    train_encoder(data, folder / "made", replace(TINY, epochs=1, warmup_epochs=3), silent, bases=tiny_bases(folder))
    return folder


def learn(
    start: Path,
    output: Path,
    monkeypatch: pytest.MonkeyPatch,
    config: TextTraining = TINY_TEXTS,
    *,
    alone: bool = False,
    **places: Path,
) -> Path:
    photo, text = tiny_bases(start)
    monkeypatch.setattr(dual_text_training, "load_photo_base", lambda _: photo)
    monkeypatch.setattr(dual_text_training, "load_text_base", lambda _: text)
    data = [DataFolder(start / "data")]
    teacher = None if alone else tiny_bases(start)[1]
    train_texts(data, output, (start / "made", TINY), teacher, config, silent, Places(**places))
    return output


def found(folder: Path) -> list[int]:
    texts = load_text_encoder(str(folder)).encode_texts([f"a {name} wall" for name in COLOURS])
    photos = [np.full((SIDE, SIDE, 3), colour, dtype=np.uint8) for colour in COLOURS.values()]
    return (texts @ load_photo_encoder(str(folder)).encode_photos(photos).T).argmax(axis=1).tolist()


def test_texts_find_their_photos_and_the_photo_tower_is_the_same_file(start, tmp_path, monkeypatch):
    made = learn(start, tmp_path / "made", monkeypatch)
    assert found(made) == [0, 1, 2, 3]
    before, after = start / "made", made
    assert (after / "photo.onnx").read_bytes() == (before / "photo.onnx").read_bytes()
    assert (after / "text.onnx").read_bytes() != (before / "text.onnx").read_bytes()
    card, facts = encoder_card(str(made)), json.loads((made / "card.json").read_text(encoding="utf-8"))
    assert card.name.startswith("own-")
    assert facts["text_training"]["photo_tower_of"] == encoder_card(str(before)).name
    assert facts["training"] == json.loads((before / "card.json").read_text(encoding="utf-8"))["training"]


def test_the_card_has_the_exported_files_recall_and_not_that_of_the_start(start, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "index_store.training.encoder.best_epoch.mean_total", lambda points: points[0].epoch
    )  # the last is best
    config = replace(TINY_TEXTS, validation_share=0.4, epochs=2)
    made = learn(start, tmp_path / "made", monkeypatch, config, cache=tmp_path / "cache")
    facts = json.loads((made / "card.json").read_text(encoding="utf-8"))
    assert facts["validation"]["epoch"] == 2
    assert facts["validation"]["data"] == "data"
    assert facts["validation"]["gallery"] + facts["text_training"]["sets"]["data"]["photos"] == 8
    assert facts["parity_cosine"]["text"]["least"] > 0.99
    assert (
        facts["parity_cosine"]["photo"] == json.loads((start / "made/card.json").read_text())["parity_cosine"]["photo"]
    )


def test_photos_teach_alone_where_there_is_no_teacher(start, tmp_path, monkeypatch):
    assert found(learn(start, tmp_path / "made", monkeypatch, alone=True)) == [0, 1, 2, 3]


def test_training_goes_on_from_what_was_taught(start, tmp_path, monkeypatch):
    made = learn(start, tmp_path / "made", monkeypatch)
    (made / "towers.pt").unlink()
    data = [DataFolder(start / "data")]
    config = replace(TINY, epochs=1)
    report = train_encoder(data, tmp_path / "again", config, silent, Places(start=made), bases=tiny_bases(start))
    assert report.photos == 8


def test_a_stopped_training_goes_on_to_the_same_weights(start, tmp_path, monkeypatch):
    config = replace(TINY_TEXTS, epochs=3, word_dropout=0.2)
    whole = learn(start, tmp_path / "whole", monkeypatch, config)
    monkeypatch.setattr("index_store.training.encoder.checkpoint.SECONDS", 0.0)
    places = {"checkpoints": tmp_path / "kept", "cache": tmp_path / "cache"}
    taken = 0
    step = dual_text_training.TextLearning.step

    def stop_after_three(self: object) -> None:
        nonlocal taken
        taken += 1
        if taken > 3:
            raise KeyboardInterrupt
        step(self)  # type: ignore[arg-type]

    monkeypatch.setattr(dual_text_training.TextLearning, "step", stop_after_three)
    with pytest.raises(KeyboardInterrupt):
        learn(start, tmp_path / "stopped", monkeypatch, config, **places)
    assert not (tmp_path / "stopped" / "card.json").exists()
    monkeypatch.setattr(dual_text_training.TextLearning, "step", step)
    resumed = learn(start, tmp_path / "stopped", monkeypatch, config, **places)
    one, other = (torch.load(made / "towers.pt", weights_only=True)["text"] for made in (whole, resumed))
    for name, tensor in one.items():
        torch.testing.assert_close(other[name], tensor, atol=1e-6, rtol=0, msg=name)


def test_features_are_those_of_each_text_whatever_its_length_and_are_kept(tmp_path):
    base = tiny_bases(tmp_path)[1]
    texts = ["a red wall", "red", "a photo of a blue wall", "wall"]
    one = pooled_features(base, texts, silent, tmp_path / "cache")
    for row, text in enumerate(texts):
        torch.testing.assert_close(one[row], pooled_features(base, [text], silent, None)[0], atol=2e-2, rtol=0)
    base.bert.forward = None  # type: ignore[assignment,method-assign]  # whoever ran it now would fail
    assert torch.equal(pooled_features(base, texts, silent, tmp_path / "cache"), one)


def test_pieces_are_short_and_neither_begin_nor_end_loosely():
    captions = [
        f"a man in a {colour} shirt is walking next to the dog number {n}" for n, colour in enumerate(COLOURS)
    ] * 30
    pieces = pieces_of([*captions, "dog", "a of the"], seed=0)
    assert pieces == pieces_of([*captions, "dog", "a of the"], seed=0)
    assert 0 < len(pieces) <= len(COLOURS)
    for piece in pieces:
        words = piece.split()
        assert 1 <= len(words) <= 5
        assert not {words[0], words[-1]} & {"a", "in", "is", "to", "the", "next"}


def test_the_teachers_own_rows_cost_nothing():
    torch.manual_seed(0)
    rows, photos = (torch.nn.functional.normalize(torch.randn(4, 8), dim=1) for _ in range(2))
    assert float(teaching_loss(rows, rows, photos, nearness=10.0)) == pytest.approx(0.0, abs=1e-5)
    assert float(teaching_loss(-rows, rows, photos, nearness=10.0)) > 20.0
