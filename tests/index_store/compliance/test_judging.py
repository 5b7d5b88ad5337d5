"""The one judgement of texts: words, then the look at the embedding; what is encoded, and what is kept."""

from __future__ import annotations

import csv
import json
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from index_store.compliance.judging import CUT, TextJudge
from index_store.compliance.policy import load_policy
from index_store.compliance.text_look import SHIPPED_WEIGHTS, load_text_look
from index_store.compliance.texts import TextRule
from index_store.encoders.registry import encoder_card, load_text_encoder
from index_store.errors import UsageError, WeightsError

TABLES = Path(__file__).parents[2] / "data"


class CountingTower:
    """The tower that ships; remembers what it was asked for."""

    def __init__(self) -> None:
        self._tower = load_text_encoder()
        self.texts: list[str] = []

    def __call__(self, text: str) -> np.ndarray:
        self.texts.append(text)
        return self._tower.encode_texts([text])[0]


@pytest.fixture(scope="module")
def judge() -> TextJudge:
    return TextJudge(load_policy())


@pytest.fixture
def tower() -> CountingTower:
    return CountingTower()


def test_what_the_words_refuse_is_not_encoded(judge, tower):
    assert judge.judge("two boys with water guns", tower).withheld
    assert tower.texts == []


def test_a_harmless_text_is_encoded_once_as_it_was_judged_and_its_vector_handed_on(judge, tower):
    judgement = judge.judge("a d\u0300og\u0085  on a\tbeach", tower)
    assert not judgement.withheld
    assert judgement.text == "a dog on a beach"
    assert tower.texts == ["a dog on a beach"]
    assert np.array_equal(judgement.embedding, load_text_encoder().encode_texts(["a dog on a beach"])[0])


def test_the_look_refuses_what_no_word_names(judge, tower):
    words = TextRule(load_policy()).check("being rocked to sleep by mama in the cradle")
    assert not words.withheld
    judgement = judge.judge("being rocked to sleep by mama in the cradle", tower)
    assert judgement.withheld
    assert judgement.embedding is None
    assert "reads like a text about a child" in judgement.reason


@pytest.mark.parametrize(
    "text", ["baby elephant", "kids menu of a restaurant", "a man dressed as a baby", "no kids", "Game Boy"]
)
def test_excused_words_do_not_alarm_the_look(judge, tower, text):
    judgement = judge.judge(text, tower)
    assert not judgement.withheld
    assert judgement.embedding is not None


def test_an_excused_word_hides_nothing_beside_it(judge, tower):
    assert judge.judge("being rocked to sleep by mama in the cradle under a baby elephant picture", tower).withheld


def test_a_long_text_is_cut_before_it_is_judged_and_encoded(judge, tower):
    judgement = judge.judge("a dog runs on the beach, " * 500 + "and a girl", tower)
    assert judgement.warning == CUT
    assert not judgement.withheld
    assert all(len(text) <= 10_000 and "girl" not in text for text in tower.texts)


def test_a_threshold_of_one_leaves_the_words_alone(tower):
    judge = TextJudge(load_policy()._replace(text_threshold=1.0))
    assert not judge.judge("being rocked to sleep by mama in the cradle", tower).withheld


def test_several_threads_get_the_answers_of_one():
    judge, texts = TextJudge(load_policy()), ["dog on beach", "two kids", "baby elephant", "a cup"] * 3
    found: dict[int, bool] = {}
    threads = [
        threading.Thread(target=lambda n=n: found.__setitem__(n, judge.judge(texts[n]).withheld)) for n in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[n] for n in range(12)] == [False, True, False, False] * 3


def test_the_look_of_another_encoder_and_damaged_ones_are_refused(tmp_path):
    with pytest.raises(WeightsError, match="was trained for the encoder"):
        load_text_look("other-1")
    folder = tmp_path / "texts"
    shutil.copytree(SHIPPED_WEIGHTS, folder)
    (folder / "texts.npz").write_bytes(b"PK\x03\x04broken")
    with pytest.raises(WeightsError, match="damaged; install imgsearch-cli again"):
        load_text_look(encoder_card().towers, folder)
    (folder / "card.json").unlink()
    with pytest.raises(WeightsError, match="missing; install imgsearch-cli again"):
        load_text_look(encoder_card().towers, folder)


def test_the_shipped_look_is_small_and_names_its_encoder():
    assert sum(path.stat().st_size for path in SHIPPED_WEIGHTS.glob("*.npz")) < 50_000
    assert json.loads((SHIPPED_WEIGHTS / "card.json").read_text())["encoder"] == encoder_card().towers


def test_an_embedding_that_is_not_finite_is_withheld():
    rows = np.full((2, encoder_card().dimension), np.nan, np.float32)
    assert load_text_look(encoder_card().towers).probabilities(rows).tolist() == [1.0, 1.0]


def test_the_look_costs_a_tenth_of_a_millisecond_at_most_beside_the_tower(tower):
    look, row = load_text_look(encoder_card().towers), tower("a dog on a beach")[None]
    fastest = min(timed(lambda: look.probabilities(row)) for _ in range(50))
    assert fastest < min(timed(lambda: tower("a dog on a beach")) for _ in range(10)) / 5


def timed(act) -> float:
    """Return the seconds of a core that something takes; a busy machine makes them no longer."""
    start = time.process_time()
    act()
    return time.process_time() - start


def read_table(name: str) -> list[dict[str, str]]:
    with (TABLES / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def test_short_harmless_queries_are_answered(judge):
    texts = (TABLES / "short_queries.txt").read_text(encoding="utf-8").splitlines()
    refused = [text for text in texts if judge.judge(text).withheld]
    assert len(texts) >= 500
    assert len(refused) <= 0.02 * len(texts), refused


def test_phrases_are_judged_as_they_should_be(judge):
    rows = read_table("phrases.tsv")
    withheld = [judge.judge(row["text"]).withheld for row in rows]
    hits = sum(found and row["withheld"] == "1" for found, row in zip(withheld, rows, strict=True))
    assert hits / sum(row["withheld"] == "1" for row in rows) >= 0.99
    assert hits / sum(withheld) >= 0.95


def is_refused(judge, text: str) -> bool:
    try:
        return judge.judge(text).withheld
    except UsageError:  # slang whose words no tower knows: nothing is searched
        return True


def test_paraphrases_by_somebody_who_had_seen_neither_policy_nor_examples(judge):
    """Six hundred, half of them harmless twins; docs/compliance.md has the figures, these they may not fall below."""
    rows = read_table("paraphrases.tsv")
    withheld = [is_refused(judge, row["text"]) for row in rows]
    wanted = [row["withheld"] == "1" for row in rows]
    hits = sum(found and right for found, right in zip(withheld, wanted, strict=True))
    assert (len(rows), sum(wanted)) == (600, 300)
    assert hits / sum(wanted) >= 0.8
    assert hits / sum(withheld) >= 0.85


@pytest.mark.parametrize(
    "unit", ["the boy's bike ", "baby elephant ", "no children, ", "a b ", "7 year ", "young man, who is 40, "]
)
def test_twice_the_text_takes_twice_the_time_at_most(unit):
    rule = TextRule(load_policy())
    rule.check("the boy's bike")  # opens spaCy
    short, long = unit * (4_000 // len(unit)), unit * (8_000 // len(unit))
    times = [min(timed(lambda text=text: rule.check(text)) for _ in range(3)) for text in (short, long)]
    assert times[1] < 3 * times[0] + 0.05


def test_a_word_of_ten_thousand_letters_is_judged_in_linear_time():
    rule, letters = TextRule(load_policy()), "qzxjkvbw"
    times = [min(timed(lambda n=n: rule.check(letters * n)) for _ in range(3)) for n in (600, 1200)]
    assert times[1] < 3 * times[0] + 0.02
