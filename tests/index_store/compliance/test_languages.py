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
        "婴儿车里的婴儿",
        "carrinho de bebê com um bebê",
        "Ein Junge spielt",
        "восьмилетка на велосипеде",
        "годовалый",
        "двухмесячный",
        "полутора лет от роду",
        "три недели от роду",
        "возраст: 12",
        "исполнилось пять",
        "на вид лет пять",
        "лет семи на качелях",
        "пятый класс на прогулке",
        "6 «Б» класс",
        "пятый день рождения",
        "день рождения, 6 свечей на торте",
        "кроха",
        "детский сад",
        "Junge mit Hund am Strand",
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
        "un homme et son chien",
        "los perros son negros",
        "der tote Baum ist tot",
        "lass uns gehen",
        "son vélo est sur la plage",
        "perro en la nieve",
        "ein grauer Hund im Schnee",
        "der Hund und das Protestschild",
        "hij heeft geen hond",
        "de hond is tot aan zijn nek in het water",
        "les bons chats et les jolis chiens",
        "os trens e as montanhas",
        "uzun bir boy aynası",
        "Junge Männer spielen Basketball",
        "carrinho de bebê na rua",
        "une poussette de bébé dans la rue",
        "婴儿车",
        "公園のベビーカー",
        "двухмесячный котенок",
        "двухмесячный отпуск",
        "трехлетний конь",
        "женщина лет сорока",
        "лет пять назад",
        "вагон первого класса",
        "5 класс опасности",
        "день рождения фирмы",
        "пятилетка за три года",
        "детская коляска",
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


@pytest.mark.parametrize(
    "text",
    [
        "my son",
        "son",
        "tot on beach",
        "a lass and a dog",
        # a foreign word beside it makes no foreign text
        "tot la beach",
        "a tot la beach",
        "my son est la",
        "un son on the beach",
        "my tot und hund",
        "lass on der beach",
        "der tot in sand",
        "tot met sand",
        "la lass con candy",
        "a nieve",
        "my nieve in the garden",
        "son et daughter",
        # a false friend of one language, in another
        "le boy sur la plage",
        "young teen en een hond",
        # and a word for a child beside the false friend
        "un garçon et son chien",
        "son fils est sur la plage",
        "lass das Kind gehen",
        "un homme et son bébé",
    ],
)
def test_no_false_friend_opens_a_bypass(rule, text):
    assert rule.check(text).withheld, text
