"""The exit codes that scripts rely on, and which of them an answer has; `main.py` has those of errors."""

from __future__ import annotations

from collections.abc import Set
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from index_store.records import Answer

FOUND = 0
"""At least one result, or the work is done."""
NOTHING_FOUND = 1
"""No photo matches."""
ERROR = 2
"""Wrong usage or an error."""
NOTICE = 3
"""The answer is the compliance notice."""
INTERRUPTED = 130
"""Ctrl-C: 128 + SIGINT."""
TERMINATED = 143
"""Asked to end: 128 + SIGTERM."""
BROKEN_PIPE = 141
"""The reader of standard output went away: 128 + SIGPIPE."""


def of_answer(answer: Answer) -> int:
    """Return 0 where something is shown, 3 where the notice is all there is, and 1 where nothing was found."""
    if answer.refused:
        return NOTICE
    if any(not match.withheld for match in answer.matches):
        return FOUND
    return NOTICE if answer.matches else NOTHING_FOUND


def of_batch(codes: Set[int]) -> int:
    """Return 2 where a line was bad, else 0 where anything is shown, 3 where all were refused, and else 1."""
    if codes == {NOTICE}:
        return NOTICE
    return next((code for code in (ERROR, FOUND) if code in codes), NOTHING_FOUND)
