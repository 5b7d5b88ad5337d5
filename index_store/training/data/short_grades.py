"""Read grades that somebody gave by eye to the first answers of short queries: does the photo show what was asked?"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from index_store.errors import DataError

GRADES_FILE = Path(__file__).with_name("short_grades.tsv")
GRADES = range(1, 5)
"""As the mission's experts gave them: 1 does not match, 2 shares elements, 3 matches but for details, 4 matches."""

RIGHT_GRADE = 3


class Grade(NamedTuple):
    """The grade of one photo of a set for one query."""

    query: str
    set_name: str
    image: str
    grade: int

    @property
    def relevance(self) -> float:
        """The grade from 0 to 1, as for the experts' judgements."""
        return (self.grade - GRADES[0]) / (GRADES[-1] - GRADES[0])

    @property
    def photo(self) -> str:
        """The photo's name among pairs of several sets."""
        return f"{self.set_name}/{self.image}"


def read_grades(path: Path = GRADES_FILE) -> list[Grade]:
    """Return all grades of a table: lines of `query<tab>set<tab>image<tab>grade`, and comments.

    Raises:
        DataError: a line is not of that form.
    """
    found: list[Grade] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line or line.startswith("#"):
            continue
        cells = line.split("\t")
        if len(cells) != len(Grade._fields) or cells[3] not in map(str, GRADES):
            raise DataError(f"{path}:{number}: {line!r} is not query, set, image and a grade from 1 to 4, with tabs")
        query, set_name, image, grade = cells
        found.append(Grade(query, set_name, image, int(grade)))
    return found
