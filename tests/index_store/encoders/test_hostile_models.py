"""Cards and policies of strangers: absurd numbers and deep nesting are one error each, never a traceback."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from index_store.compliance.photo_rule import photo_rule_version
from index_store.compliance.policy import SHIPPED_POLICY, load_policy
from index_store.compliance.text_look import load_text_look
from index_store.encoders.cards import read_card, weight_file
from index_store.encoders.encoder_models import belongs_to, find_model
from index_store.errors import ImgsearchError, PolicyError, WeightsError
from index_store.reranker.reranking import read_reranker

WEIGHTS = Path(__file__).parents[3] / "index_store" / "weights"
DEEP = '{"schema": ' + "[" * 100_000

ABSURD = [
    ("dimension", 10**12),
    ("dimension", 0),
    ("dimension", -1),
    ("dimension", 1.5),
    ("dimension", True),
    ("dimension", float("inf")),
    ("dimension", "many"),
    ("max_tokens", 10**400),
    ("max_tokens", 0),
    ("photo_input", {"side": 10**9, "squash": True}),
    ("photo_input", {"side": 0, "squash": True}),
    ("photo_input", []),
    ("file_bytes", {"text.onnx": float("inf"), "photo.onnx": 1, "tokenizer.json": 1}),
]


@pytest.mark.parametrize(("key", "value"), ABSURD, ids=str)
def test_an_absurd_number_in_a_card_is_one_error(tmp_path, key, value):
    card = json.loads((WEIGHTS / "encoder" / "card.json").read_text())
    (tmp_path / "card.json").write_text(json.dumps(card | {key: value}))
    with pytest.raises(WeightsError, match=r"card\.json: is damaged"):
        read_card(tmp_path)


READERS = [read_card, lambda folder: photo_rule_version("e", folder), read_reranker]


@pytest.mark.parametrize("read", READERS, ids=["encoder", "photo rule", "reranker"])
def test_a_card_that_is_nested_too_deeply_is_one_error(tmp_path, read):
    shutil.copytree(WEIGHTS / "reranker", tmp_path, dirs_exist_ok=True)
    (tmp_path / "card.json").write_text(DEEP)
    with pytest.raises(ImgsearchError, match=r"card\.json: .*damaged"):
        read(tmp_path)
    assert belongs_to(tmp_path) is None


@pytest.mark.parametrize("deep", ["x = " + "[" * 5_000, "x = " + "{a = " * 5_000, "x." * 5_000 + "y = 1"])
def test_a_policy_that_is_nested_too_deeply_is_one_error(tmp_path, deep):
    path = tmp_path / "deep.toml"
    path.write_text(f"{deep}\n{SHIPPED_POLICY.read_text()}")
    with pytest.raises(PolicyError, match=r"deep\.toml"):
        load_policy(path)


@pytest.mark.parametrize("name", ["card.json", "text.onnx", "photo.onnx", "tokenizer.json"])
def test_a_pipe_in_a_model_folder_is_not_waited_for(tmp_path, name):
    (tmp_path / "card.json").write_bytes((WEIGHTS / "encoder" / "card.json").read_bytes())
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    with pytest.raises(WeightsError, match=r"card can be read|is no plain file"):
        weight_file(read_card(tmp_path), name)


READERS = {
    "minors": lambda folder: photo_rule_version("any", folder),
    "reranker": read_reranker,
    "texts": lambda folder: load_text_look("any", folder),
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@pytest.mark.parametrize(
    "content", [DEEP.encode(), b"{", b"\xff", b"[]", b" " * ((16 << 20) + 1)], ids=lambda c: str(c[:9])
)
def test_a_card_that_is_none_is_one_error_whoever_reads_it(tmp_path, read, content):
    (tmp_path / "card.json").write_bytes(content)
    with pytest.raises(WeightsError, match=r"card\.json: "):
        read(tmp_path)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_a_pipe_in_place_of_a_card_is_not_waited_for_whoever_reads_it(tmp_path, read):
    os.mkfifo(tmp_path / "card.json")
    with pytest.raises(WeightsError, match=r"card\.json: "):
        read(tmp_path)


@pytest.mark.parametrize("name", ["card.json", "minors.npz"])
def test_a_pipe_in_a_companions_folder_is_not_waited_for(tmp_path, name):
    encoder = tmp_path / "encoder"
    shutil.copytree(WEIGHTS / "minors", encoder / "minors")
    card = (WEIGHTS / "encoder" / "card.json").read_text().replace("lite2-minilm-", "strange-")
    (encoder / "card.json").write_text(card)
    (encoder / "minors" / name).unlink()
    os.mkfifo(encoder / "minors" / name)
    wanted = read_card(encoder).name
    if name == "card.json":
        assert find_model("minors", wanted, str(encoder)) is None
    else:
        with pytest.raises(WeightsError, match="is no plain file"):
            find_model("minors", wanted, str(encoder))
