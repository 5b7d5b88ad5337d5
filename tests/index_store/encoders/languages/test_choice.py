"""Which tower reads a text, and which languages are not searched."""

from __future__ import annotations

import pytest

from index_store.encoders.languages.choice import (
    check_language,
    is_english_with_names,
    is_foreign,
    refuse_unknown_words,
)
from index_store.encoders.languages.reader import OtherLanguages
from index_store.errors import MissingExtraError, UsageError

SEARCHED = ("ar", "de", "es", "fr", "it", "pt", "ru", "zh")


@pytest.fixture(autouse=True)
def english_locale(monkeypatch):
    for name in ("LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "en_US.UTF-8")


@pytest.mark.parametrize(
    "text",
    [
        "собака на пляже",
        "公园里的狗",
        "كلب على الشاطئ",
        "ein Hund am Strand",
        "une femme avec un chien",
        "un perro en la playa",
        "um homem com um cachorro",
        "un uomo sulla spiaggia",
        "Straße",
        "mężczyzna z psem",
        "犬が走る",
        "un chat sur le lit",
        "un train passe sur le pont",
        "un chat regarde un aquarium",
        "un père au bord du lac",
        "puesta de sol en el mar",
        "la folla a un concerto",
        "l'homme et le train",
    ],
)
def test_other_languages_are_foreign(text):
    assert is_foreign(text)


@pytest.mark.parametrize(
    "text",
    [
        "a dog runs on the beach",
        "two men in a café",
        "a naïve painting of a façade",
        "sunset",
        "woman's red hat",
        "5 dogs, 2 cats",
        "1969",
        "🐕",
        "A man in a jalapeño costume",
        "π day",
        "π",
        "a sign with Ω on it",
        "a scale bar of 5 μm",
        "the Place de la Concorde at night",
        "Rio de Janeiro",
        "la la land",
        "a UN vote",
        "a do or die match",
    ],
)
def test_english_is_not(text):
    assert not is_foreign(text)


def test_the_locale_decides_about_a_word_of_two_languages(monkeypatch):
    assert not is_foreign("chat")
    monkeypatch.setenv("LC_ALL", "fr_FR.UTF-8")
    assert is_foreign("chat")
    assert not is_foreign("a dog runs on the beach")
    monkeypatch.setenv("LC_ALL", "cs_CZ.UTF-8")
    assert not is_foreign("chat")


@pytest.mark.parametrize(
    "text",
    [
        "двоє чоловіків і собака",  # Ukrainian
        "їжак",
        "ґанок",
        "човек и куче на плажата љ",  # Macedonian
        "muž s bílým psem v řece",  # Czech
        "mężczyzna z psem",  # Polish, which was not measured
        "două persoane pe plajă, țară",  # Romanian
        "két férfi ül a padon, öreg",  # Hungarian
        "người đàn ông",
        "en mand på stranden og en ø",  # Danish
        "σκύλος στην παραλία",
        "כלב על החוף",
        "समुद्र तट पर कुत्ता",
        "犬が海辺を走る",  # Japanese, which was not measured
        "해변의 개",
        "หมาบนชายหาด",
        "سگ در ساحل گرم",  # Persian
        "ఒక కుక్క",
        "a dog and σκύλος",
    ],
)
def test_a_language_that_was_not_measured_is_refused(text):
    with pytest.raises(UsageError, match=r"language that is not searched; ask in English or in Arabic, German"):
        check_language(text, "auto", SEARCHED)


@pytest.mark.parametrize(
    "text",
    [
        "собака и ёлка",
        "ein Hund läuft über Straßen",
        "façade élevée",
        "el niño y la cigüeña",
        "não há pão",
        "公园里的狗",
        "كلب",
    ],
)
def test_the_letters_of_a_searched_language_pass(text):
    check_language(text, "auto", SEARCHED)


@pytest.mark.parametrize("text", ["a red Škoda car", "Dvořák on stage", "the old town of Kraków", "Łódź street"])
def test_english_with_names_of_other_languages_is_english(text):
    assert is_english_with_names(text)


@pytest.mark.parametrize(
    "text",
    ["muž s bílým psem", "Žena v parku", "a dog and σκύλος", "Řeka", "dvě ženy", "a Žluťoučký Kůň Úpěl", "собака їжак"],
)
def test_other_languages_are_no_english_with_names(text):
    assert not is_english_with_names(text)


WORDS = {"muz", "hund", "strand", "rot", "perro", "playa", "gran"}


@pytest.mark.parametrize("text", ["muz s psem", "dve zeny na plazi", "kluk hraje fotbal v parku"])
def test_a_text_of_words_that_the_tower_does_not_know_is_refused(text):
    with pytest.raises(UsageError, match="words are of a language that is not searched, or misspelt; name their"):
        refuse_unknown_words(text, WORDS.__contains__)


@pytest.mark.parametrize(
    "text",
    [
        "Sonnenuntergang",  # too few words to say
        "Hund Strand rot",
        "Motorradfahrer im Wald",  # a small word of German
        "Straßenmusiker spielt Kontrabass",  # letters of German
        "perro gran playa",
        "freshly glazed doughnut",  # English with rare words
        "red bricked sidewalk",
        "newborn golden retriever puppies",
    ],
)
def test_others_are_not_refused_for_their_words(text):
    refuse_unknown_words(text, WORDS.__contains__)


@pytest.mark.parametrize("code", ["uk", "cs", "ja", "xx"])
def test_a_code_that_is_not_searched_is_refused(code):
    with pytest.raises(UsageError, match=r"are not searched; ask in English or in"):
        check_language("man", code, SEARCHED)


@pytest.mark.parametrize("code", ["de_DE", "", " ", "../x", "дe", "abcdefghijk"])
def test_what_is_no_language_is_refused_or_means_auto(code):
    if code:
        with pytest.raises(UsageError, match="is no language; write auto, en, other, or a code"):
            OtherLanguages(code)
    else:
        assert OtherLanguages(code).language == "auto"


def test_regions_of_a_language_are_the_language():
    assert OtherLanguages("pt-BR").language == "pt"
    assert OtherLanguages("zh-TW").language == "zh"
    assert OtherLanguages("DE").language == "de"


def test_without_the_extra_texts_are_read_as_before_unless_a_language_is_named(monkeypatch):
    monkeypatch.setattr("index_store.encoders.languages.reader.is_installed", lambda: False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not OtherLanguages().read("собака на пляже")
    assert not OtherLanguages("en").read("собака на пляже")
    with pytest.raises(MissingExtraError, match=r"imgsearch-cli\[languages\]"):
        OtherLanguages("ru").read("собака на пляже")
