"""Read the compliance policy: a TOML file that is checked line by line and refused when anything in it is unclear.

Standard library only. The shipped file is read from a copy compiled ahead (`compiled.json`, see `compiling.py`),
because reading the TOML itself costs 30 ms and every query pays it. Records are named tuples for the same reason: each
dataclass costs 1 ms at import.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from index_store.compliance.machine_policy import choose_policy
from index_store.errors import PolicyError

SHIPPED_POLICY = Path(__file__).with_name("policy.toml")
COMPILED_POLICY = Path(__file__).with_name("compiled.json")

RELATIONS = ("modifies", "near")


class WordGroup(NamedTuple):
    """Lemmas that name a child by themselves, with the sense that the reason for withholding quotes."""

    sense: str
    lemmas: tuple[str, ...]


class WordPair(NamedTuple):
    """Two words that speak of a child together: `first` describes `second`, or both stand near each other."""

    sense: str
    relation: str
    first: tuple[str, ...]
    second: tuple[str, ...]


class Contexts(NamedTuple):
    """The words that make a child word harmless; policy.toml has an example for each list."""

    animals: frozenset[str]
    things: frozenset[str]
    belongings: frozenset[str]
    people: frozenset[str]
    adult: frozenset[str]
    negations: frozenset[str]
    disguises: frozenset[str]
    suffixes: frozenset[str]
    permissions: frozenset[str]
    bans: frozenset[str]
    parts_of: frozenset[str]
    drinks: frozenset[str]
    young_of_animals: frozenset[str]
    not_for_things: frozenset[str]
    nouns_only: frozenset[str]


class Schools(NamedTuple):
    """Schools whose pupils are under the limit, and the words next to which a school's name need not mean a pupil."""

    names: tuple[str, ...]
    harmless: frozenset[str]
    empty: frozenset[str]


class RussianWords(NamedTuple):
    """Russian word forms, spelled with е for ё."""

    forms: frozenset[str]
    harmless: frozenset[str]
    negations: frozenset[str]
    animals: frozenset[str]
    things: frozenset[str]
    spans: frozenset[str]
    denials: frozenset[str]


class Language(NamedTuple):
    """Words for a child in another language, and what else policy.toml lists of it."""

    language: str
    words: tuple[str, ...]
    shared: frozenset[str]
    markers: frozenset[str]
    parts: tuple[str, ...]
    harmless: tuple[str, ...]
    false_friends: tuple[str, ...]
    negations: tuple[str, ...]
    denials: frozenset[str]
    things: frozenset[str]


class Policy(NamedTuple):
    """What is withheld: ages below `age_limit`, photos from `photo_threshold` upwards, and the words that say so.

    `text_threshold` is the probability from which the learned look withholds a text. `forms` maps every lemma to its
    inflected forms; `real_words` are English words one letter away from a listed form, which are therefore no
    misspellings, and `compounds` those that hold one, such as "cowboy"; `unaccented` has words of other languages as
    the rule reads them. `digest` changes with the file's content and is stored with every decision.
    """

    age_limit: int
    notice: str
    mandatory: bool
    photo_threshold: float
    text_threshold: float
    words: tuple[WordGroup, ...]
    pairs: tuple[WordPair, ...]
    schools: Schools
    withheld_phrases: tuple[str, ...]
    harmless_phrases: tuple[str, ...]
    contexts: Contexts
    emoji: tuple[str, ...]
    russian: RussianWords
    languages: tuple[Language, ...]
    forms: Mapping[str, Sequence[str]]
    real_words: frozenset[str]
    compounds: frozenset[str]
    unaccented: Mapping[str, str]
    digest: str


def load_policy(path: Path | None = None) -> Policy:
    """Return the policy of this machine, else the one in `path`, else the shipped one.

    Raises:
        PolicyError: it is broken or missing, or the machine's is mandatory and another was named; nothing is guessed.
    """
    path, of_machine = choose_policy(path, SHIPPED_POLICY)
    source = _read(path)
    compiled = _compiled()
    if compiled.get("source") == source:
        policy = _policy(compiled["content"], compiled, compiled["digest"])
    else:
        policy = _policy(parse(source, path), compiled, digest_of(source))
    return policy._replace(mandatory=True) if of_machine else policy


def digest_of(source: str) -> str:
    """Return the short hash that names a policy by its content."""
    import hashlib  # costs 2 ms, which the shipped policy need not pay

    return hashlib.sha256(source.encode()).hexdigest()[:12]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise PolicyError(f"{path}: the policy is not UTF-8 text; save it as UTF-8") from error
    except OSError as error:
        reason = error.strerror or error
        raise PolicyError(f"{path}: cannot read the policy ({reason}); name a readable file with --policy") from error


def _compiled() -> dict[str, Any]:
    try:
        return dict(json.loads(COMPILED_POLICY.read_bytes()))
    except (OSError, ValueError) as error:
        raise PolicyError(f"{COMPILED_POLICY}: damaged or missing; install imgsearch-cli again") from error


def parse(source: str, path: Path) -> dict[str, Any]:
    """Return the checked content of a policy's text; errors name `path` and the line."""
    import tomllib  # costs 20 ms, which the shipped policy need not pay

    try:
        content = tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"at line (\d+)", str(error))
        line = place.group(1) if place else str(source.count("\n") + 1)
        what = str(error).split(" (at ")[0]
        raise PolicyError(f"{path}:{line}: not valid TOML ({what}); mend the line") from error
    except RecursionError as error:
        raise PolicyError(f"{path}: tables or lists are nested too deeply; take them out") from error
    _Checker(source, path).check(content)
    return content


def _policy(content: Mapping[str, Any], compiled: Mapping[str, Any], digest: str) -> Policy:
    russian = content["russian"]
    return Policy(
        age_limit=content["age_limit"],
        notice=content["notice"],
        mandatory=content["mandatory"],
        photo_threshold=float(content["photos"]["threshold"]),
        text_threshold=float(content["texts"]["threshold"]),
        words=tuple(WordGroup(each["sense"], tuple(each["lemmas"])) for each in content["words"]),
        pairs=tuple(
            WordPair(each["sense"], each["relation"], tuple(each["first"]), tuple(each["second"]))
            for each in content["pairs"]
        ),
        schools=Schools(
            tuple(content["schools"]["names"]),
            frozenset(content["schools"]["harmless"]),
            frozenset(content["schools"]["empty"]),
        ),
        withheld_phrases=tuple(content["phrases"]["withheld"]),
        harmless_phrases=tuple(content["phrases"]["harmless"]),
        contexts=Contexts(**{name: frozenset(words) for name, words in content["contexts"].items()}),
        emoji=tuple(content["emoji"]["withheld"]),
        russian=RussianWords(
            forms=frozenset(
                form for each in russian["stems"] for form in _russian_forms(each["stem"], each["endings"])
            ),
            harmless=frozenset(russian["harmless"]),
            negations=frozenset(russian["negations"]),
            animals=frozenset(russian["animals"]),
            things=frozenset(russian["things"]),
            spans=frozenset(russian["spans"]),
            denials=frozenset(russian["denials"]),
        ),
        languages=tuple(
            Language(
                each["language"],
                tuple(each["words"]),
                frozenset(each["shared"]),
                frozenset(each["markers"]),
                tuple(each["parts"]),
                tuple(each["harmless"]),
                tuple(each["false_friends"]),
                tuple(each["negations"]),
                frozenset(each["denials"]),
                frozenset(each["things"]),
            )
            for each in content["languages"]
        ),
        forms=compiled["forms"],
        real_words=frozenset(compiled["real_words"]),
        compounds=frozenset(compiled["compounds"]),
        unaccented=compiled["unaccented"],
        digest=digest,
    )


def _russian_forms(stem: str, endings: str) -> list[str]:
    return [stem + ("" if ending == "-" else ending) for ending in endings.split()]


_WORDS = "a list of words"
_PERHAPS_NONE = "a list of words, perhaps of none"
_LAYOUT: dict[str, dict[str, str]] = {
    "": {"age_limit": "a whole number of years", "notice": "a text", "mandatory": "true or false"},
    "photos": {"threshold": "a number from 0 to 1"},
    "texts": {"threshold": "a number from 0 to 1"},
    "words": {"sense": "a text", "lemmas": _WORDS},
    "pairs": {"sense": "a text", "relation": "a relation", "first": _WORDS, "second": _WORDS},
    "schools": dict.fromkeys(Schools._fields, _WORDS),
    "phrases": {"withheld": _WORDS, "harmless": _WORDS},
    "contexts": dict.fromkeys(Contexts._fields, _WORDS),
    "emoji": {"withheld": _WORDS},
    "russian": {
        "stems": "a list of stems",
        **dict.fromkeys(("harmless", "negations", "animals", "things", "spans", "denials"), _WORDS),
    },
    "languages": {
        "language": "a text",
        "words": _WORDS,
        **dict.fromkeys(
            ("shared", "markers", "parts", "harmless", "false_friends", "negations", "denials", "things"),
            _PERHAPS_NONE,
        ),
    },
}
_REPEATED = ("words", "pairs", "languages")


class _Checker:
    """Compare a parsed policy with the layout; the source text tells the line of what is wrong."""

    def __init__(self, source: str, path: Path) -> None:
        self._lines = source.splitlines()
        self._path = path

    def check(self, content: Mapping[str, Any]) -> None:
        tables = {name for name in _LAYOUT if name}
        plain = {key: value for key, value in content.items() if key not in tables}
        self._check_table("", 0, plain)
        for name in sorted(tables):
            if name not in content:
                raise self._error(1, f"the table [{name}] is missing; copy it from the shipped policy.toml")
            value = content[name]
            wanted, word = (list, "list of tables") if name in _REPEATED else (dict, "table")
            if not isinstance(value, wanted) or not value:
                raise self._error(self._line(name, 0, None), f"{name} is not a {word}, or it is empty; fill it")
            for number, table in enumerate(value if isinstance(value, list) else [value]):
                self._check_table(name, number, table)

    def _check_table(self, table: str, number: int, content: Any) -> None:
        if not isinstance(content, dict):
            raise self._error(self._line(table, number, None), f"{table} holds something that is not a table")
        layout = _LAYOUT[table]
        for key, value in content.items():
            line = self._line(table, number, key)
            if key not in layout:
                raise self._error(line, f"unknown key {key!r}; take it out (known here: {', '.join(layout)})")
            self._check_value(line, key, value, layout[key])
        for key in layout:
            if key not in content:
                where = f"[{table}] " if table else ""
                raise self._error(self._line(table, number, None), f"{where}has no {key!r}; add it ({layout[key]})")

    def _check_value(self, line: int, key: str, value: Any, wanted: str) -> None:
        if wanted in (_WORDS, _PERHAPS_NONE):
            fits = isinstance(value, list) and all(isinstance(word, str) and word.strip() for word in value)
        elif wanted == "a list of stems":
            fits = isinstance(value, list) and all(_is_stem(each) for each in value)
        elif wanted == "a text":
            fits = isinstance(value, str) and bool(value.strip())
        elif wanted == "a relation":
            fits, wanted = value in RELATIONS, f"one of {', '.join(RELATIONS)}"
        elif wanted == "true or false":
            fits = isinstance(value, bool)
        elif wanted == "a whole number of years":
            fits = isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 120
        else:
            fits = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
        if isinstance(value, list) and not value and wanted != _PERHAPS_NONE:
            raise self._error(line, f"{key} is an empty list; list at least one, or use the shipped policy")
        if not fits:
            raise self._error(line, f"{key} must be {wanted}; correct it")

    def _line(self, table: str, number: int, key: str | None) -> int:
        """Return the line of a key in the `number`th table of that name; of the table itself without a key."""
        header = re.compile(r"\s*\[\[?\s*([A-Za-z0-9_.\"-]+)\s*\]\]?")
        current, seen, found = "", -1, 1
        for line, text in enumerate(self._lines, start=1):
            if match := header.match(text):
                current = match.group(1)
                seen += current == table
                if current == table and seen == number:
                    found = line
            inside = current == table and (not table or seen == number)
            if inside and key is not None and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", text):
                return line
            if not table and key is not None and re.match(rf"\s*\[+\s*{re.escape(key)}\s*\]", text):
                return line  # an unknown table
        return found

    def _error(self, line: int, what: str) -> PolicyError:
        return PolicyError(f"{self._path}:{line}: {what}")


def _is_stem(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == {"stem", "endings"}
        and all(isinstance(text, str) and text.strip() for text in value.values())
    )
