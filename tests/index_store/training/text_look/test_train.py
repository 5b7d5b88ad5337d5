"""Training the look at texts: it learns from labelled captions and examples, and is tied to its encoder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("sklearn")

from index_store.compliance.text_look import load_text_look
from index_store.encoders.registry import encoder_card, load_text_encoder
from index_store.errors import DataError
from index_store.training.text_look import train as text_training
from index_store.training.text_look.train import read_examples, train_text_look

CHILD = ("a girl on a swing", "two boys play football", "a baby sleeps", "kids in a pool", "a toddler with a dog")
OTHERS = ("a dog on a beach", "a man drinks beer", "red car in the street", "snow on a mountain", "a cup of tea")
PLACES = ("", " at night", " in the rain", " by the sea", " in black and white", " on a farm", " in town", " in winter")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "captioned"
    (folder / "images").mkdir(parents=True)
    rows = ["image\tcaption"]
    for number in range(640):
        text = (CHILD if number % 2 else OTHERS)[number % 5] + PLACES[number // 10 % 8] + f", photo {number}"
        (folder / "images" / f"{number}.jpg").touch()
        rows.append(f"{number}.jpg\t{text}")
    (folder / "captions.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def few_examples(tmp_path, monkeypatch):
    table = tmp_path / "examples.tsv"
    table.write_text("withheld\ttext\n1\tasleep in a crib\n0\tan old man\n", encoding="utf-8")
    monkeypatch.setattr(text_training, "EXAMPLES", table)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_the_look_learns_what_captions_say_and_names_its_encoder(data, tmp_path):
    report = train_text_look([data], tmp_path / "out")
    look = load_text_look(encoder_card().towers, tmp_path / "out")
    rows = load_text_encoder().encode_texts(["a girl on a swing in spring", "a man drinks beer in spring"])
    child, other = look.probabilities(rows)
    assert child > 0.5 > other
    card = json.loads((tmp_path / "out" / "card.json").read_text())
    assert card["version"] == report.version
    assert card["encoder"] == encoder_card().name
    assert {row["part"] for row in card["left_out"]} == {"captioned", "examples.tsv"}


def test_captions_that_speak_of_no_child_are_too_few_to_learn_from(data, tmp_path):
    table = data / "captions.tsv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([lines[0], *lines[1::2]]) + "\n")
    with pytest.raises(DataError, match="too few captions"):
        train_text_look([data], tmp_path / "out")


def test_the_examples_are_many_distinct_and_none_is_a_test_phrase():
    examples = read_examples()
    texts = {text for text, _ in examples}
    assert len(texts) == len(examples) > 5000
    tables = Path(__file__).parents[3] / "data"
    measured = {line.split("\t")[0] for line in (tables / "paraphrases.tsv").read_text().splitlines()[1:]}
    assert len(texts & measured) < 10
