"""What a question is warned about: a text that the encoder can hardly understand."""

from __future__ import annotations

import pytest

from index_store.queries.question_checks import checked
from index_store.question import Question

IN_THE_PICTURE = "words that are written in a picture are not read; describe what else is to be seen"


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        ("a sign that says STOP", True),  # the shell has taken the quotes away
        ('a sign saying "stop"', True),
        ("screenshot with the word hello", True),
        ("a shirt reading university of ohio", True),
        ('"happy birthday"', True),
        ("a man reading a book on a bench", False),
        ("a woman who says goodbye at a station", False),
        ("a street sign on a corner", False),
        ("a board with letters", False),
    ],
)
def test_words_in_a_picture_are_not_read_which_is_said(text, warned):
    assert (IN_THE_PICTURE in checked(Question(text))[1]) == warned
