"""Plain words for a child, and ages, in other languages than English."""

from __future__ import annotations

import pytest

from index_store.compliance.policy import load_policy
from index_store.compliance.texts import TextRule


@pytest.fixture(scope="module")
def rule() -> TextRule:
    return TextRule(load_policy())


@pytest.mark.parametrize(
    "text",
    [
        "niños jugando en la playa",
        "una nina con un perro",
        "ein kind spielt im schnee",
        "zwei Mädchen",
        "ein Junge mit Hund",
        "une fille sur la plage",
        "les enfants jouent",
        "crianças na praia",
        "um menino com um cachorro",
        "dei bambini in spiaggia",
        "een kind met een hond",
        "dzieci na plaży",
        "bir çocuk ve köpek",
        "两个孩子在玩",
        "小女孩",
        "公園で遊ぶ子供たち",
        "남자아이가 웃고 있다",
        "बच्चे खेल रहे हैं",
        "أطفال يلعبون",
        "الولد والكلب",
        "เด็กสองคน",
        "deti na plyazhe",
        "malchik s sobakoy",
        "девочка с собакой",
        "девятилетний в шапке",
        "ей 9",
        "ему три года",
        "ученики в 5 классе",
        "пятиклассники",
        "Маша, 7 лет",
        "дeти",
    ],
)
def test_a_child_is_seen(rule, text):
    assert rule.check(text).withheld, text


@pytest.mark.parametrize(
    "text",
    [
        "una mujer con un perro",
        "Nina Simone on stage",
        "la nina storm damage",
        "a kind man",
        "kinder chocolate",
        "ein Hund spielt im Schnee",
        "der junge Mann mit dem Hund",
        "des hommes dans les bois",
        "deux hommes sur la plage",
        "bimbo bread",
        "een man met een hond",
        "两只狗在玩",
        "公園の犬",
        "아이스크림",
        "कुत्ता",
        "كلب على الشاطئ",
        "собака на пляже",
        "тот человек",
        "девушка на мотоцикле",
        "трехлетний коньяк",
        "пятилетняя собака",
        "стаж 5 лет",
        "5 лет назад",
        "мужчина 45 лет",
        "сорокалетний мужчина",
    ],
)
def test_others_are_not(rule, text):
    assert not rule.check(text).withheld, rule.check(text).reason
