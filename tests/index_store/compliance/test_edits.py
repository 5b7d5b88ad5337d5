"""No edit that leaves a text its meaning takes it past the judgement of texts."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from random import Random

import numpy as np
import pytest

from index_store.compliance.judging import TextJudge
from index_store.compliance.normalising import normalise
from index_store.compliance.policy import load_policy
from index_store.compliance.texts import TextRule
from index_store.encoders.registry import load_text_encoder
from tests.index_store.compliance.edits import KINDS, edited

TABLES = Path(__file__).parents[2] / "data"
CLOSE = 0.9
"""The cosine from which an edited text is taken to mean what the original means."""


@pytest.fixture(scope="module")
def judge() -> TextJudge:
    return TextJudge(load_policy())


@pytest.fixture(scope="module")
def names() -> re.Pattern[str]:
    forms = sorted((form for form in TextRule(load_policy()).senses if len(form) > 2), key=len, reverse=True)
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, forms))})\b")


def refused_phrases(names: re.Pattern[str], least: int) -> list[str]:
    with (TABLES / "phrases.tsv").open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        texts = [row["text"].lower() for row in rows if row["withheld"] == "1"]
    return [text for text in texts if names.search(text) and len(text.split()) >= least]


def leaks(texts: list[str], judge: TextJudge, names: re.Pattern[str], kinds=KINDS) -> tuple[int, list[str]]:
    """Return how many edited texts stay close to the original, and those of them that get through."""
    encoder = load_text_encoder()
    originals = encoder.encode_texts([normalise(text).text for text in texts])
    chance, close, through = Random(0), 0, []
    for kind in kinds:
        edits = [edited(kind, text, names, chance) for text in texts]
        cosines = (encoder.encode_texts([normalise(edit).text for edit in edits]) * originals).sum(axis=1)
        for edit in np.array(edits, dtype=object)[cosines > CLOSE]:
            close += 1
            if not judge.judge(edit).withheld:
                through.append(f"{kind}: {edit}")
    return close, through


def test_there_are_forty_kinds_of_edits_and_each_changes_some_text(names):
    assert len(KINDS) >= 40
    texts = ["two kids and a girl in a boat", "babies eat raisins in a big pool", "little boys sit here"]
    for kind in KINDS:
        assert any(edited(kind, text, names, Random(1)) != text for text in texts), kind


def test_a_sample_of_edited_phrases_is_refused(judge, names):
    close, through = leaks(refused_phrases(names, 6)[:10], judge, names)
    assert close > 150
    assert through == []


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.needs_data
def test_edited_captions_that_mean_the_same_are_refused(judge, names, data):
    with (data / "flickr8k_pretrain" / "captions.tsv").open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        captions = sorted({row["caption"].lower() for row in rows})
    Random(5).shuffle(captions)
    rule = TextRule(load_policy())
    refused = [text for text in captions[:1200] if names.search(text) and rule.check(text).withheld][:300]
    close, through = leaks(refused, judge, names)
    assert close > 8000
    assert len(through) <= close / 1000, through
