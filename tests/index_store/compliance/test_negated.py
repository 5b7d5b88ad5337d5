"""Children that a text says are not there, in other languages than English; and denials that are none."""

from __future__ import annotations

import pytest

from index_store.compliance.policy import load_policy
from index_store.compliance.texts import TextRule


@pytest.fixture(scope="module")
def rule() -> TextRule:
    return TextRule(load_policy())


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("собака без детей", "собака"),
        ("Пляж без маленьких детей", "Пляж"),
        ("без ребёнка", ""),
        ("не дети", ""),
        ("кроме детей", ""),
        ("Strand ohne Kinder", "strand"),
        ("Spielplatz im Frühling, keine Kinder", "Spielplatz im Frühling,"),
        ("plage sans enfants", "plage"),
        ("une forêt sans bébé", "une forêt"),
        ("pas d'enfants sur la plage", "sur la plage"),
        ("playa sin niños", "playa"),
        ("playa sin ninos", "playa"),
        ("praia sem crianças", "praia"),
        ("spiaggia senza bambini", "spiaggia"),
        ("strand zonder kinderen", "strand"),
        ("девушка с телефоном", "с телефоном"),
        ("пальчик", ""),
        ("малыш слона", "слона"),
    ],
)
def test_what_is_said_not_to_be_there_is_settled_and_the_rest_is_for_the_look(rule, text, rest):
    verdict = rule.check(text)
    assert not verdict.withheld, verdict.reason
    assert verdict.rest_as_written == rest


@pytest.mark.parametrize("text", ["женщина на пляже", "ein Hund läuft", "une femme âgée", "a dog on a beach"])
def test_a_text_without_excuses_is_seen_whole(rule, text):
    assert rule.check(text).rest_as_written is None


@pytest.mark.parametrize(
    "text",
    [
        # not side by side, or with something in between
        "нет, дети на пляже",
        "без собаки, дети",
        "без-детей",
        "ohne Hund Kinder",
        "sans chien, enfants",
        # the denial is denied
        "не без детей",
        "никто без детей",
        "не только дети",
        "nicht ohne Kinder",
        "niemand ohne Kinder",
        "nicht nur Kinder",
        "pas sans enfants",
        "personne sans enfants",
        "no sin niños",
        "nunca sin niños",
        "ninguém sem crianças",
        # no denial, or one of another language
        "noch Kinder am Strand",
        "no menino, na praia",
        "sin Kinder am Strand",
        "a man without niños",
        # another child in the text
        "без детей, но с младенцем",
        "ohne Kinder, mit Baby",
        "sans enfants et un bébé",
        "sin niños, una niña",
        "sem crianças e um bebê",
        "девушка 12 лет",
        "15-летняя девушка",
        "девочка и девушка",
    ],
)
def test_what_only_looks_like_a_denial_excuses_nothing(rule, text):
    assert rule.check(text).withheld
