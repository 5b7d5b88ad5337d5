"""A long training without a terminal says once a minute what is done, how fast, and what is left."""

from __future__ import annotations

import re

import pytest

from imgsearch_cli.training_log import LogLines, watched


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_a_minute_with_pace_and_what_is_left(capsys):
    clock = Clock()
    advance = LogLines("photos", clock)
    for second, done in enumerate(range(0, 2000, 10)):
        clock.now = float(second)
        advance(done, 2000, "view 1")
    assert lines(capsys) == [
        "0 of 2,000  view 1",
        "600 of 2,000, 10.0 photos/s, 0:02:20 left  view 1",
        "1,200 of 2,000, 10.0 photos/s, 0:01:20 left  view 1",
        "1,800 of 2,000, 10.0 photos/s, 0:00:20 left  view 1",
    ]


def test_another_stage_has_a_pace_of_its_own_and_a_resumed_one_counts_from_where_it_was(capsys):
    clock = Clock()
    advance = LogLines("photos", clock)
    advance(100, 100, "first")
    clock.now = 10.0
    advance(900, 1000, "second")
    clock.now = 20.0
    advance(950, 1000, "epoch 3")
    assert lines(capsys) == [
        "100 of 100  first",
        "900 of 1,000  second",
        "950 of 1,000, 5.0 photos/s, 0:00:10 left  epoch 3",
    ]


def test_nothing_is_written_where_no_lines_are_wanted(capsys):
    for options in ({"lines": False}, {"lines": True, "quiet": True}):
        with watched("photos", **options) as advance:
            advance(1, 2, "note")
    assert capsys.readouterr().err == ""
    with watched("photos", lines=True) as advance:
        advance(1, 2, "note")
    assert lines(capsys) == ["1 of 2  note"]
