"""Ages in words in the languages that are searched, and what only looks like them."""

from __future__ import annotations

import pytest

from index_store.compliance.policy import load_policy
from index_store.compliance.texts import TextRule

AGES = {
    "German": (
        "zehnjähriger Gitarrist | die Zehnjährige am Klavier | ein 10-jähriger am Strand | 10jährige Turnerin "
        "| zehn Jahre alter Gitarrist | Gitarrist, zehn Jahre alt | er ist zwölf Jahre alt | sie wird elf "
        "| mit neun Jahren | im Alter von fünfzehn | im Alter von sieben Monaten | unter sechzehn Jahren "
        "| zehnter Geburtstag | Geburtstagstorte mit 6 Kerzen | Fünftklässler im Museum "
        "| in der vierten Klasse | Klasse 3 am See | zehnjaehriger Gitarrist "
        "| ein Auto und ein zehnjähriger Gitarrist | zehnjähriger mit Hund | Turnerin (elf Jahre) "
        "| zweieinhalbjährige Zwillinge"
    ),
    "French": (
        "guitariste de dix ans | dix ans | elle a neuf ans | gymnaste âgée de treize ans "
        "| jumeaux âgés de trois mois | moins de seize ans | un berger de onze ans avec ses chèvres "
        "| son dixième anniversaire | anniversaire, six bougies | élèves de CM2 | Paul, huit ans, sur un vélo "
        "| gymnaste de 10 ans à Paris | skieuse de 10ans"
    ),
    "Spanish": (
        "guitarrista de diez años | guitarrista de diez anos | tiene doce años | gimnasta, once años "
        "| a los nueve años | cumple trece años | edad: siete años | menores de diez años "
        "| edad de tres meses | su séptimo cumpleaños | tarta de cumpleaños con 5 velas | quinto de primaria "
        "| quinceañera | gimnasta de diez años de Madrid"
    ),
    "Portuguese": (
        "guitarrista de dez anos | tem doze anos | ginasta, onze anos | aos nove anos | ela faz sete anos "
        "| menos de dez anos | sexto aniversário | bolo de aniversário com 4 velas | quarta série "
        "| dois aninhos"
    ),
    "Italian": (
        "chitarrista di dieci anni | ha nove anni | dodicenne in bicicletta | ginnasta, undici anni "
        "| compie otto anni | meno di dieci anni | settimo compleanno | torta di compleanno con 3 candeline "
        "| quinta elementare | un decenne | una 10enne"
    ),
    "Russian": (
        "девятилетний и две собаки | десятилетний скрипач с собакой | скрипач десяти лет "
        "| юный футболист 10 лет | близнецы двух лет в одинаковых шапках | фигуристке семь лет "
        "| гимнастка в возрасте девяти лет"
    ),
    "separated": (
        "Z e h n j ä h r i g e r | zehn_Jahre_alter Gitarrist | zehn+Jahre+alt | zehn.jähriger "
        "| guitarrista+de+diez+años"
    ),
    "Chinese": ("十岁的吉他手 | 八歲 | 3岁半 | 三个月大 | 未满十六岁 | 十几岁的体操运动员 | 三年级 | 小王，十二岁"),
    "Arabic": (
        "عازف عمره عشر سنوات | عمرها تسع سنوات | في العاشرة من عمره | يبلغ من العمر سبع سنوات "
        "| لاعبة ذات اثني عشر عاما | سن الثانية عشرة | عمره ١٢ سنة | عمره سنتان | عمره ثلاثة أشهر"
    ),
}
NO_AGES = {
    "German": (
        "vor zehn Jahren | zehn Jahre altes Auto | zehn Jahre alter schwarzer Hund "
        "| der Hund ist zehn Jahre alt | zehnjähriges Jubiläum | zehnjähriger Krieg "
        "| ein zehn Jahre alter Rennwagen | seit zehn Jahren | zehn Jahre Garantie "
        "| mit zehn Jahren Erfahrung | zwanzigjähriger Gitarrist | fünfundzwanzig Jahre alt "
        "| ist sechzehn Jahre alt | zehnter Geburtstag der Firma | Wagen erster Klasse | zehn Jahre später "
        "| Reise von drei Monaten | um zehn Uhr"
    ),
    "French": (
        "il y a dix ans | vingt-deux ans | de vingt et un ans | contrat de dix ans | un vin rouge de dix ans "
        "| depuis dix ans | dix ans après | dix ans de mariage | la maison a dix ans | plus de dix ans "
        "| musicien de trente ans | dixième anniversaire de l'entreprise | une randonnée de dix jours"
    ),
    "Spanish": (
        "hace diez años | un vino de diez años | un coche que tiene diez años | diez años de guerra "
        "| durante diez años | guitarrista de veinte años | de treinta y dos años | diez años después "
        "| un perro negro de diez años | fotos de diez años de guerra | mujer de cincuenta años"
    ),
    "Portuguese": (
        "há dez anos | um carro de dez anos | durante dez anos | vinte e dois anos | fotos dos anos oitenta "
        "| dez anos atrás | vinho de dez anos | aniversário da empresa | homem de quarenta anos"
    ),
    "Italian": (
        "dieci anni fa | da dieci anni | un vino di dieci anni | una macchina di dieci anni | per dieci anni "
        "| trentenne | nel giro di dieci anni | donna di trentadue anni | un cane di cinque anni "
        "| fiera decennale"
    ),
    "Russian": (
        "собака пяти лет | кот, 5 лет | пятилетняя черная собака | клубу десять лет | в течение десяти лет "
        "| вино трех лет | двухлетнее растение | скрипач сорока лет | через десять лет"
    ),
    "Chinese": ("二十岁 | 三岁的狗 | 十岁的黑猫 | 三十五岁的男人 | 十年前 | 百岁老人 | 一百二十岁的树"),
    "Arabic": ("قبل عشر سنوات | كلب عمره خمس سنوات | عمره خمس وعشرون سنة | منذ تسع سنوات | شجرة عمرها عشر سنوات"),
    "English": ("an old man | a six ans b | series 5 | elf on a shelf | a car from the nineties | dia de los muertos"),
}


def texts(table: dict[str, str]) -> list[str]:
    return [text.strip() for some in table.values() for text in some.split(" | ")]


@pytest.fixture(scope="module")
def rule() -> TextRule:
    return TextRule(load_policy())


@pytest.mark.parametrize("text", texts(AGES))
def test_an_age_under_the_limit_is_seen(rule, text):
    assert rule.check(text).withheld


@pytest.mark.parametrize("text", texts(NO_AGES))
def test_spans_things_and_grown_ups_are_not(rule, text):
    assert not rule.check(text).withheld, rule.check(text).reason
