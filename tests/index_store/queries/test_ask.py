"""A query is judged before anything is retrieved, and what is refused is not kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from index_store.compliance.judging import CUT
from index_store.encoders.onnx_dual import OnnxTextEncoder
from index_store.encoders.registry import encoder_card, load_text_encoder
from index_store.errors import UsageError
from index_store.paths import cache_folder
from index_store.queries.ask import Searcher
from index_store.queries.text_cache import TextCache
from index_store.question import Filters, Question
from index_store.records import Answer
from index_store.store.image_store import create_store
from index_store.store.manifest import Manifest
from tests.index_store.store.test_groups import taken_photo

REFUSED = "being rocked to sleep by mama in the cradle"
"""No word of it names a child; the look at its embedding refuses it."""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty store of the encoder that ships, for a user whose cache is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    card = encoder_card()
    create_store(str(tmp_path / "store"), Manifest(card.name, card.dimension))
    return str(tmp_path / "store")


def kept(text: str) -> bool:
    card = encoder_card()
    return TextCache(cache_folder()).get(card.towers, text, card.dimension) is not None


def test_a_text_that_the_look_refuses_gets_the_notice_and_stays_out_of_the_cache(store):
    searcher = Searcher(store)
    answer = searcher.ask(REFUSED)
    assert answer.refused
    assert answer.notice
    assert answer.matches == ()
    assert not kept(REFUSED)
    # a searcher that has opened its tower neither reads nor writes the cache
    assert not searcher.ask("a dog on a beach").refused
    assert not kept("a dog on a beach")
    assert not Searcher(store).ask("a dog on a beach").refused
    assert kept("a dog on a beach")


def test_a_kept_vector_is_judged_again_by_the_policy_that_holds_now(store):
    assert not Searcher(store, withhold=False).ask(REFUSED).refused
    assert kept(REFUSED)
    assert Searcher(store).ask(REFUSED).refused


def test_texts_are_judged_by_the_tower_that_ships_whatever_encoder_the_store_has(tmp_path):
    create_store(str(tmp_path / "other"), Manifest("colours-1", 4))
    assert Searcher(str(tmp_path / "other")).ask(REFUSED).refused


@pytest.fixture
def own_texts(tmp_path: Path) -> Path:
    """An encoder with the photo tower and the name of the one that ships, whose text tower takes a dog for a cat."""
    folder = shutil.copytree(encoder_card().folder, tmp_path / "own")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    words = tokenizer["model"]["vocab"]
    words["dog"], words["cat"] = words["cat"], words["dog"]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    card = json.loads((folder / "card.json").read_text())
    sizes = card["file_bytes"] | {"tokenizer.json": (folder / "tokenizer.json").stat().st_size}
    (folder / "card.json").write_text(json.dumps(card | {"fingerprint": "ab" * 32, "file_bytes": sizes}))
    return folder


@pytest.mark.parametrize("withhold", [True, False])
def test_a_text_tower_of_ones_own_beside_the_photo_tower_that_ships_answers_itself(store, own_texts, withhold):
    searcher = Searcher(store, encoder=str(own_texts), withhold=withhold)
    assert searcher.store.manifest.encoder == encoder_card().name
    for text, meant in (("a dog", "a cat"), ("a dog on a beach", "a cat on a beach")):
        found = searcher._texts.embedding(text, None)
        (expected,) = load_text_encoder().encode_texts([meant])
        assert found is not None
        assert float(found @ expected) > 0.9999
    assert (searcher.calibrated, searcher.reranker.min_score) == (False, 0.0)  # the shipped reranker knows other texts
    assert Searcher(store, withhold=withhold).calibrated is True


def test_texts_that_are_harmless_alone_are_refused_where_one_away_from_the_other_means_children(store):
    searcher = Searcher(store)
    assert not searcher.ask("a family on a beach").refused
    assert not searcher.ask("elderly men").refused
    assert searcher.ask(Question("a family on a beach", away=("elderly men",))).refused
    assert not searcher.ask(Question("a dog on a beach", away=("snow",))).refused
    assert not Searcher(store, withhold=False).ask(Question("a family on a beach", away=("elderly men",))).refused


def test_what_is_encoded_is_what_was_judged(store):
    Searcher(store).ask("a d\u0300og\u0085 on  a beach")
    assert kept("a dog on a beach")


def test_a_long_query_is_cut_with_a_warning(store):
    answer = Searcher(store).ask("a dog runs on the beach, " * 500)
    assert not answer.refused
    assert CUT in answer.warnings


def test_disguised_words_are_refused(store):
    searcher = Searcher(store)
    for text in ("girls+dancing", "two kids!playing", "boy&dog", "child_on_swing", "girl4life", "-girl-", "g\u0300irl"):
        assert searcher.ask(text).refused, text


def test_questions_asked_together_are_answered_as_each_alone(store):
    card = encoder_card()
    rows = np.random.default_rng(0).normal(size=(300, card.dimension)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    create_store(store, Manifest(card.name, card.dimension)).upsert(list(map(taken_photo, range(300))), rows)
    texts = ["red", "a dog", "blue and green", "children", "", "red", "x" * 2000, "a bridge"]
    questions = [Question(text, k=k, pool=pool, min_score=0.0) for text in texts for k, pool in ((1, 1), (3, 100))]
    questions += [Question("red", pool=0), Question("red", filters=Filters(folders=("/nowhere",)))]
    together, alone = Searcher(store), Searcher(store)

    def asked(question: Question) -> object:
        try:
            return alone.ask(question)
        except UsageError as error:
            return str(error)

    found = [str(each) if isinstance(each, UsageError) else each for each in together.ask_all(questions)]
    assert found == [asked(question) for question in questions]
    assert sum(isinstance(each, str) for each in found) == 4
    assert sum(len(each.matches) for each in found if isinstance(each, Answer)) >= 20


def test_questions_asked_together_are_encoded_in_one_piece_and_refused_words_never(store, monkeypatch):
    pieces, encode = [], OnnxTextEncoder.encode_texts
    monkeypatch.setattr(
        OnnxTextEncoder, "encode_texts", lambda self, texts: pieces.append(list(texts)) or encode(self, texts)
    )
    texts = ["a dog", "a cat", "two children", "a boat", "a tree", "a boy on a swing"]
    answers = Searcher(store).ask_all([Question(text, min_score=0.0) for text in texts])
    assert [answer.refused for answer in answers if isinstance(answer, Answer)] == [
        text in ("two children", "a boy on a swing") for text in texts
    ]
    assert pieces == [["a dog", "a cat", "a boat", "a tree"]]
