"""Odd spellings of words for a child in other languages than English, and real words that look like them."""

from __future__ import annotations

import pytest

from index_store.compliance.policy import load_policy
from index_store.compliance.texts import TextRule

ODD = (
    "ein weinendes k1nd im supermarkt | ein weinendes kkiinndd im supermarkt | ein weinendes iknd im supermarkt "
    "| opa liest seinem enkek ein buch vor | ein kleines mdchen am see | k i n d e r n im garten | kindz am strand "
    "| zehnjähr1ger Gitarrist | fünftklässsler im museum | el abuelo con su nieeto | la abuela con su n!eta "
    "| un b.e.b.é en la cuna | niñ@s en la playa | дедушка читает внку | тренер учит д.е.т.е.й плавать "
    "| дтеи ждут автобус | семья с тремя дsтьми | отец несет сынs | м@льчик | м4льчик "
    "| отец несет сынаz | де्ти ждут автобус "
    "| fille | chico | ragazzo | Kind in blauer Badehose planscht"
)
REAL = (
    "eine junge Person mit Hut | ein Märchen im Wald | machen wir Musik | пальчик на кнопке | девушка в шляпе "
    "| ветка в снегу | точка на карте | kind nurse with a dog | ein Zwerg aus Stein | la hijab negra "
    "| un filet de perche | una nona sinfonia | сетка на окне"
)


@pytest.fixture(scope="module")
def rule() -> TextRule:
    return TextRule(load_policy())


@pytest.mark.parametrize("text", ODD.split(" | "))
def test_an_odd_spelling_is_seen(rule, text):
    assert rule.check(text).withheld or rule.misspelt(text)


@pytest.mark.parametrize("text", REAL.split(" | "))
def test_real_words_are_none(rule, text):
    assert rule.misspelt(text) is None
