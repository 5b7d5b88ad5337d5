"""A batch: what a line may be, what a bad one costs, and in which order answers come."""

from __future__ import annotations

import io
import threading
import tracemalloc

import pytest

from index_store.errors import StoreError, UsageError
from index_store.once import once
from index_store.queries.batch import MAX_LINE_BYTES, BatchError, answer_lines, bounded_lines
from index_store.question import Filters, Question
from index_store.records import Answer


class Asked:
    """Answers with what it was asked, and refuses what the real searcher refuses; counts its work."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, int, int, float | None]] = []

    def ask_all(self, questions: list[Question]) -> list[Answer]:
        self.requests += [(each.text, each.k, each.pool, each.min_score) for each in questions]
        return [Answer(each.text) for each in questions]


def answers(content: bytes, **defaults: object) -> list[str]:
    """Return the queries that were answered and the errors, in order."""
    found = answer_lines(bounded_lines(io.BytesIO(content)), Asked(), Question(**defaults))
    return [f"{each.line}: {each.error}" if isinstance(each, BatchError) else each.query for each in found]


BAD = [
    (b"{bad", "is no JSON object: Expecting property name enclosed in double quotes (character 2)"),
    (b'{"query": "\xff"}', "is no UTF-8 text (byte 12)"),
    (b"caf\xe9", "is no UTF-8 text (byte 4)"),
    (b"a\0cat", "holds a NUL character; save the queries as UTF-8 text"),
    (b'{"query": ' + b"[" * 100_000, "is no JSON object that can be read: it is nested too deeply"),
    (b'{"query": [["a"]]}', "query is a list, which is no text"),
    (b'{"query": {"a": 1}}', "query is an object, which is no text"),
    (b'{"query": null}', "query is null, which is no text"),
    (b'{"k": 2}', "has no query"),
    (b'{"query": "a", "kk": 2}', "has unknown keys: kk (known: query, k, pool, min_score, language)"),
    (b'{"query": "a", "k": 2.5}', "k is 2.5, which is no whole number"),
    (b'{"query": "a", "k": "2"}', 'k is "2", which is no number'),
    (b'{"query": "a", "k": true}', "k is true, which is no number"),
    (b'{"query": "a", "k": null}', "k is null, which is no number"),
    (b'{"query": "a", "k": 1e400}', "k is more than any number that is accepted"),
    (b'{"query": "a", "min_score": -1e400}', "min_score is less than any number that is accepted"),
    (b'{"query": "a", "min_score": NaN}', "is no JSON object: NaN is no number of JSON"),
    (b'{"query": "a", "min_score": Infinity}', "is no JSON object: Infinity is no number of JSON"),
    (b'{"query": "a", "pool": ' + b"9" * 4000 + b"}", "pool is more than any number that is accepted"),
    (b"x" * (MAX_LINE_BYTES + 1), "is longer than 131,072 bytes"),
    (b"x" * 1_000_000, "is longer than 131,072 bytes"),
]


@pytest.mark.parametrize(("line", "error"), BAD, ids=[error[:40] for _, error in BAD])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_bad_line_costs_that_line_alone(line, error, end):
    assert answers(end.join([b"before", b"", line, b"after"])) == ["before", f"3: {error}", "after"]


def test_a_whole_number_may_be_written_with_a_point():
    asked = Asked()
    list(answer_lines(['{"query": "a", "k": 2.0, "pool": 3e1, "min_score": 1}'], asked))
    assert asked.requests == [("a", 2, 30, 1)]


def test_the_defaults_of_the_command_hold_where_a_line_says_nothing():
    asked = Asked()
    list(answer_lines(["a", '{"query": "b", "k": 1}'], asked, Question(k=7, pool=70, min_score=0.5)))
    assert asked.requests == [("a", 7, 70, 0.5), ("b", 1, 70, 0.5)]


def test_filters_and_texts_to_keep_away_from_hold_for_every_line():
    class Questions:
        def ask_all(self, questions: list[Question]) -> list[Answer]:
            assert {(each.filters, each.away) for each in questions} == {(Filters(camera="acme"), ("snow",))}
            return [Answer(each.text) for each in questions]

    defaults = Question(away=("snow",), filters=Filters(camera="acme"))
    assert len(list(answer_lines(["a", '{"query": "b"}'], Questions(), defaults))) == 2


def test_answers_keep_the_order_of_the_lines():
    lines = [f"text {number}".encode() if number % 3 else b"{bad" for number in range(200)]
    found = answers(b"\n".join(lines))
    assert [each.split(":")[0] for each in found] == [
        f"text {number}" if number % 3 else str(number + 1) for number in range(200)
    ]


def test_a_line_of_ten_million_characters_takes_no_more_memory_than_a_long_one():
    file = io.BytesIO(b"before\n" + b"x" * 10_000_000 + b"\nafter\n" + b"y" * 10_000_000)
    tracemalloc.start()
    sizes = [len(line) for line in bounded_lines(file)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sizes == [7, MAX_LINE_BYTES + 1, 6, MAX_LINE_BYTES + 1]
    assert peak < 2_000_000


def test_a_byte_order_mark_is_no_part_of_the_first_query():
    assert answers("\ufeffa cat\nэто\n".encode()) == ["a cat", "это"]
    assert answers('\ufeff{"query": "a cat"}'.encode()) == ["a cat"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32"])
def test_other_encodings_are_refused_by_name(encoding):
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    with pytest.raises(UsageError, match="the batch: is UTF-16 or UTF-32 text; save it as UTF-8"):
        answers((mark + "a cat\nb\n").encode(encoding))


def test_utf_16_without_a_mark_is_not_half_read():
    assert all("holds a NUL character" in each for each in answers("a cat\nb".encode("utf-16-le")))


def test_what_concerns_all_queries_is_raised():
    class Nowhere:
        def ask_all(self, questions: list[Question]) -> list[Answer]:
            raise StoreError("there is no store")

    with pytest.raises(StoreError, match="there is no store"):
        list(answer_lines(["a"], Nowhere()))


def test_a_property_is_computed_once_for_all_threads_that_ask_together():
    computed = []
    together = threading.Barrier(8)

    class Holder:
        @once
        def model(self) -> object:
            computed.append(threading.get_ident())
            return object()

        @once
        def other(self) -> tuple[object, str]:
            return self.model, "asks for another"

    holder, seen = Holder(), []

    def ask() -> None:
        together.wait()
        seen.append(holder.other[0])

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(computed), len(set(seen))) == (1, 1)


def test_a_property_that_failed_is_computed_again():
    class Holder:
        tries = 0

        @once
        def model(self) -> int:
            self.tries += 1
            if self.tries == 1:
                raise StoreError("not yet")
            return self.tries

    holder = Holder()
    with pytest.raises(StoreError, match="not yet"):
        holder.model
    assert (holder.model, holder.model) == (2, 2)


def test_an_answer_goes_out_while_the_next_line_is_waited_for():
    come = threading.Event()

    def lines():
        yield "first"
        assert come.wait(30)
        yield "second"

    found = answer_lines(lines(), Asked())
    assert next(found).query == "first"
    come.set()
    assert [each.query for each in found] == ["second"]


def test_what_breaks_while_lines_are_read_is_raised_after_the_answers_before_it():
    def lines():
        yield "first"
        raise OSError("the disk is gone")

    found = answer_lines(lines(), Asked())
    assert next(found).query == "first"
    with pytest.raises(OSError, match="the disk is gone"):
        next(found)
