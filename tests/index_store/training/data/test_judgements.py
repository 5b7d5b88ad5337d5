from __future__ import annotations

import pytest

from index_store.errors import DataError
from index_store.training.data.judgements import CrowdPair, ExpertPair, TestQuery, read_judgements, require_pairs


def told(judgements) -> list[str]:
    return [str(problem) for problem in judgements.problems]


def test_all_tables_are_read(tables):
    judgements = read_judgements(tables())
    assert judgements.expert == [
        ExpertPair("a.jpg", "a.jpg#0", (4, 4, 4)),
        ExpertPair("b.jpg", "a.jpg#0", (1, 2, 2)),
        ExpertPair("c.jpg", "b.jpg#0", (1, 2, 4)),
    ]
    assert judgements.crowd == [CrowdPair("a.jpg", "a.jpg#0", 1.0), CrowdPair("b.jpg", "c.jpg#0", pytest.approx(1 / 3))]
    assert judgements.queries == [TestQuery("t.jpg#0", "a tile", "t.jpg")]
    assert judgements.gallery == ["t.jpg", "u.jpg"]
    assert told(judgements) == []
    assert [pair.own for pair in judgements.expert] == [True, False, False]


def test_scores_outside_the_scale_are_reported_together_and_left_out(tables):
    rows = "a.jpg\ta.jpg#0\t4\t4\t4\nb.jpg\ta.jpg#0\t7\t2\t2\nc.jpg\tb.jpg#0\t1\tx\t4\nc.jpg\ta.jpg#0\t1\t2\t0\n"
    judgements = read_judgements(tables(ExpertAnnotations_tsv=rows))
    assert len(judgements.expert) == 1
    assert told(judgements) == [
        "ExpertAnnotations.tsv:2: expert score 7 is outside 1..4; the pair is left out (also lines 3, 4)"
    ]


@pytest.mark.parametrize("share", ["1.5", "-0.1", "nan", "yes"])
def test_a_share_outside_its_range_is_named(tables, share):
    judgements = read_judgements(tables(CrowdAnnotations_tsv=f"a.jpg\ta.jpg#0\t{share}\t1\t2\n"))
    assert judgements.crowd == []
    assert told(judgements)[0] == (f"CrowdAnnotations.tsv:1: crowd share {share} is outside 0..1; the pair is left out")


def test_a_query_id_without_a_text_and_a_photo_that_is_not_there_are_named(tables):
    rows = "a.jpg\tz.jpg#0\t1\t1\t1\ngone.jpg\ta.jpg#0\t1\t1\t1\nb.jpg\tb.jpg#0\t2\t2\t2\n"
    judgements = read_judgements(tables(ExpertAnnotations_tsv=rows))
    assert [pair.image for pair in judgements.expert] == ["b.jpg"]
    assert told(judgements) == [
        "ExpertAnnotations.tsv:1: query_id z.jpg#0 has no text in train_dataset.csv; the pair is left out",
        "ExpertAnnotations.tsv:2: the photo train_images/gone.jpg is not there; the pair is left out",
    ]


def test_of_duplicates_one_stays_and_of_contradictions_none(tables):
    rows = "a.jpg\ta.jpg#0\t4\t4\t4\na.jpg\ta.jpg#0\t4\t4\t4\nb.jpg\ta.jpg#0\t1\t1\t1\nb.jpg\ta.jpg#0\t4\t4\t4\n"
    judgements = read_judgements(tables(ExpertAnnotations_tsv=rows))
    assert judgements.expert == [ExpertPair("a.jpg", "a.jpg#0", (4, 4, 4))]
    assert told(judgements) == [
        "ExpertAnnotations.tsv:2: a.jpg with a.jpg#0 is there twice; one stays",
        "ExpertAnnotations.tsv:4: b.jpg with a.jpg#0 contradicts an earlier line; both are left out",
    ]


def test_a_mark_windows_line_ends_and_another_separator_are_read_through_and_named(tables):
    rows = b"\xef\xbb\xbfa.jpg;a.jpg#0;4;4;4\r\nb.jpg;a.jpg#0;1;2;2\r\n"
    judgements = read_judgements(tables(ExpertAnnotations_tsv=rows))
    assert [pair.scores for pair in judgements.expert] == [(4, 4, 4), (1, 2, 2)]
    assert told(judgements) == [
        "ExpertAnnotations.tsv:1: starts with a byte order mark, which is passed over",
        "ExpertAnnotations.tsv:1: has Windows line ends, which are read as plain ones",
        "ExpertAnnotations.tsv:1: is separated by ';', not by '\\t'; read so",
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "ExpertAnnotations.tsv: there is no such table"),
        ("", "ExpertAnnotations.tsv:1: the table is empty"),
        ("\n\n", "ExpertAnnotations.tsv:1: the table is empty"),
        ("a.jpg\ta.jpg#0\t4\n", "ExpertAnnotations.tsv:1: expected 5 columns separated by '\\t'"),
        (b"a.jpg\ta.jpg#0\t4\t4\t4\n\xff\n", "ExpertAnnotations.tsv:2: the text is not UTF-8"),
    ],
)
def test_a_broken_table_is_named_and_the_others_are_used(tables, content, reason):
    judgements = read_judgements(tables(ExpertAnnotations_tsv=content))
    assert judgements.expert == []
    assert len(judgements.crowd) == 2
    assert told(judgements)[0].startswith(reason)


def test_a_missing_column_is_named(tables):
    judgements = read_judgements(tables(test_queries_csv="|query_id|image\n0|t.jpg#0|t.jpg\n"))
    assert judgements.queries == []
    assert told(judgements)[0].startswith("test_queries.csv:1: the column query_text is missing")


def test_a_row_with_too_few_fields_is_named(tables):
    judgements = read_judgements(tables(ExpertAnnotations_tsv="a.jpg\ta.jpg#0\t4\t4\t4\nb.jpg\ta.jpg#0\n"))
    assert told(judgements) == ["ExpertAnnotations.tsv:2: has 2 fields, not 5; the row is left out"]


def test_training_stops_without_judgements_and_says_why(tables):
    judgements = read_judgements(tables(ExpertAnnotations_tsv=None, CrowdAnnotations_tsv=""))
    with pytest.raises(DataError, match=r"no judged pair can be used\n.*ExpertAnnotations"):
        require_pairs(judgements)


def test_a_single_photo_cannot_be_split(tables):
    rows = "a.jpg\ta.jpg#0\t4\t4\t4\na.jpg\tb.jpg#0\t1\t1\t1\n"
    judgements = read_judgements(tables(ExpertAnnotations_tsv=rows, CrowdAnnotations_tsv=None))
    with pytest.raises(DataError, match=r"single photo a\.jpg"):
        require_pairs(judgements)


def test_a_folder_that_is_not_there_or_holds_nothing_is_refused(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        read_judgements(tmp_path / "gone")
    with pytest.raises(DataError, match="no judgement and no query can be used"):
        read_judgements(tmp_path)


def test_the_real_data_has_the_documented_size(data):
    judgements = read_judgements(data / "with_sense")
    assert (len(judgements.texts), len(judgements.expert), len(judgements.queries)) == (977, 5822, 500)
    assert len(judgements.gallery) == 100
    assert sum(pair.own for pair in judgements.expert) == 158
    # 23 query ids of the crowd have no text
    assert len(judgements.crowd) == 46_721
    assert [problem.kind for problem in judgements.problems] == ["no text"]
