"""What is known of a photo: captions, what somebody saw, and how far each is trusted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn")

from index_store.errors import DataError
from index_store.training.data.captions import CaptionedPhoto
from index_store.training.photo_rule.labels import HARD_LABELS, Trust, caption_shares, label_photos, read_labels

HEADER = "image\tunder16\tperson\n"


def photo(name: str, *captions: str) -> CaptionedPhoto:
    return CaptionedPhoto(Path("/data/sets/images") / name, captions)


def table(folder: Path, *lines: str, name: str = "labels.tsv") -> Path:
    path = folder / name
    path.write_text("# how they were made\n" + HEADER + "".join(line + "\n" for line in lines))
    return path


def test_shares_count_the_captions_that_speak_of_a_child():
    assert caption_shares([["a boy", "a dog", "a cow", "a cat"], ["baby elephant"]]).tolist() == [0.25, 0.0]


def test_captions_answer_where_nobody_looked(tmp_path):
    photos = [
        photo("girl.jpg", "a girl"),
        photo("man.jpg", "a man"),
        photo("rock.jpg", "a rock"),
        photo("five.jpg", "a boy", "two kids", "a man", "a man", "a man"),
        photo("dogs.jpg", "a dog", "two dogs", "dogs"),
    ]
    labels = label_photos(photos, (), 0.4, Trust(told=1, silent=0.5), table(tmp_path))
    assert labels.child.tolist() == pytest.approx([1, 0, 0, 0.4, 0])
    assert labels.truth.tolist() == [True, False, False, True, False]
    assert labels.child_weight.tolist() == [1, 0.5, 0.5, 1, 1]
    assert labels.person.tolist() == [1, 1, 0, 1, 0]
    assert labels.seen.tolist() == [""] * 5


def test_who_looked_knows_better(tmp_path):
    photos = [photo("a.jpg", "a dog"), photo("b.jpg", "a girl"), photo("c.jpg", "a girl")]
    seen = table(
        tmp_path, "sets/images/a.jpg\tyes\tyes", "sets/images/b.jpg\tno\tno", "sets/images/c.jpg\tperhaps\tyes"
    )
    labels = label_photos(photos, [seen], 0.4, Trust(seen_yes=3, seen_no=2), table(tmp_path, name="hard.tsv"))
    assert labels.truth.tolist() == [True, False, False]
    assert labels.child_weight.tolist() == [3, 2, 0]
    assert labels.person.tolist() == [1, 0, 1]
    assert labels.seen.tolist() == ["yes", "no", "perhaps"]


def test_hard_labels_fit_and_are_not_measured_on(tmp_path):
    photos = [photo("a.jpg", "a dog"), photo("b.jpg", "a dog")]
    hard = table(tmp_path, "sets/images/a.jpg\tyes\tyes", "sets/images/b.jpg\tyes\tyes", name="hard.tsv")
    labels = label_photos(photos, [table(tmp_path, "sets/images/b.jpg\tno\tno")], 0.4, hard=hard)
    assert labels.truth.tolist() == [True, False]
    assert labels.seen.tolist() == ["", "no"]


@pytest.mark.parametrize("line", ["sets/images/a.jpg\tmaybe\tyes", "sets/images/a.jpg\tyes\t", "\tyes\tyes", "a.jpg"])
def test_another_answer_is_refused_and_named(tmp_path, line):
    with pytest.raises(DataError, match=r"labels\.tsv: .*write yes, perhaps or no"):
        read_labels(table(tmp_path, line))


def test_a_table_that_is_none_is_refused(tmp_path):
    (tmp_path / "labels.tsv").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "labels.tsv", tmp_path / "missing.tsv"):
        with pytest.raises(DataError, match="cannot be read as a table of labels"):
            read_labels(path)


def test_our_own_labels_are_of_sets_that_may_be_learned_from():
    answers = read_labels(HARD_LABELS)
    assert {name.partition("/")[0] for name in answers} == {"classes_pretrain", "mixed_pretrain"}
    assert np.mean([answer == ("yes", "no") for answer in answers.values()]) == 0  # a child is a person
