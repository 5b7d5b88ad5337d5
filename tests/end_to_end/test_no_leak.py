"""Nothing withheld reaches any output: every command and format over a store with every second photo withheld."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import pytest

from index_store.queries.ask import Searcher
from tests.end_to_end.conftest import NOTICE


@pytest.fixture(scope="module")
def place(demo, imgsearch, tmp_path_factory) -> Path:
    """A folder with photos/ and store/, every second photo withheld by hand."""
    folder = tmp_path_factory.mktemp("leak")
    shutil.copytree(demo / "test_images", folder / "photos")
    (folder / "photos" / "LICENCES.tsv").unlink()
    assert imgsearch("index", "photos", "--store", "store", cwd=folder).returncode == 0
    done = imgsearch("policy", "withhold", *secret(folder), "--reason", "a test", "--store", "store", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "6 photos withheld by hand\n")
    # the rule for photos may err on some of the others
    rest = sorted(set((folder / "photos").iterdir()) - set(secret(folder)))
    imgsearch("policy", "allow", *rest, "--reason", "a test", "--store", "store", cwd=folder)
    return folder


def secret(folder: Path) -> list[Path]:
    return sorted((folder / "photos").iterdir())[::2]


FORMATS = ("table", "jsonl", "tsv", "paths")
QUERIES = [("query", "a cat", "--min-score", "0", "--format", name) for name in FORMATS]
COMMANDS = [
    *QUERIES,
    ("query", "a cat", "--min-score", "0", "-0"),
    ("-vv", "--debug", "query", "a cat", "--min-score", "0"),
    ("query", "a cat", "--min-score", "1"),
    ("query", "a cat", "-k", "0"),
    ("status",),
    ("status", "--format", "jsonl"),
    ("-vv", "index"),
    ("index", "photos", "--dry-run"),
    ("-vv", "check"),
    ("check", "--format", "jsonl"),
    ("-vv", "check", "--deep"),
    ("-vv", "--debug", "index", "--rehash"),
    ("-vv", "index", "--rehash", "--dry-run"),
    ("-v", "query", "a cat", "--min-score", "0", "-k", "10000", "--pool", "10000", "--format", "jsonl"),
    ("policy", "check", "a cat"),
    ("query", "a", "cat", "--not", "snow", "--min-score", "0", "-n", "50", "--json"),
    ("query", "zebra", "--min-score", "1", "-v"),
    *(
        ("query", "a cat", "--min-score", "0", "--after", "2000", "--in", "photos", "--format", name)
        for name in FORMATS
    ),
    ("query", "a cat", "--min-score", "0", "--landscape", "--camera", "x"),
    *(("query", "--like", "photos/coffee.png", "-n", "50", "--format", name) for name in FORMATS),
    *(("query", "--like", "photos/coffee.png", "a cat", "-n", "50", "--format", name) for name in FORMATS),
    ("-vv", "query", "--like", "-", "--debug"),
    ("query", "a cat", "--in", "photos/nowhere"),
    ("duplicates",),
    ("-vv", "duplicates", "--json"),
    ("duplicates", "--format", "paths", "--in", "photos"),
    ("config",),
    ("config", "--json"),
    ("completion", "bash"),
    ("move", "photos", "nowhere"),
    ("move", "nowhere", "photos"),
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_no_output_names_a_withheld_photo(place, imgsearch, arguments):
    asks_no_store = arguments[:2] == ("policy", "check") or arguments[0] in {"config", "completion"}
    at = () if asks_no_store else ("--store", "store")
    done = imgsearch(*arguments, *at, cwd=place, input="no photo", env={"_IMGSEARCH_COMPLETE": ""})
    said = done.stdout + done.stderr
    for path in secret(place):
        assert path.name not in said
        assert path.stem not in said


def test_a_batch_does_not_either(place, imgsearch):
    done = imgsearch(
        "query", "--batch", "-", "--min-score", "0", "--store", "store", cwd=place, input="a cat\na rocket\n"
    )
    rows = [match for line in done.stdout.splitlines() for match in json.loads(line)["matches"]]
    assert sum(match["count"] for match in rows if match["withheld"]) >= 8
    assert not [path for path in secret(place) if path.name in done.stdout]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize("words", ["imgsearch ", "imgsearch query --like ", "imgsearch policy ", "imgsearch forget "])
def test_completion_names_none_either(place, imgsearch, shell, words):
    """A shell completes names of files itself; the program gives it no paths of the store."""
    asked = {"_IMGSEARCH_COMPLETE": f"{shell}_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = imgsearch(cwd=place, env=asked | {"IMGSEARCH_STORE": "store"})
    assert done.returncode == 0
    assert not [path for path in secret(place) if path.stem in done.stdout + done.stderr]


@pytest.mark.parametrize(
    ("like", "output_format"),
    [
        *(("a withheld photo", name) for name in FORMATS),
        ("a copy of it", "table"),
        ("a copy of it", "jsonl"),
        ("the bytes of one", "table"),
        ("the bytes of one", "jsonl"),
    ],
)
def test_a_photo_withheld_by_hand_is_not_searched_by(place, imgsearch, tmp_path, like, output_format):
    given = secret(place)[1]
    content = given.read_bytes()
    if like == "a copy of it":
        given = tmp_path / f"copy{given.suffix}"
        given.write_bytes(content)
    at = ("--format", output_format, "--store", "store")
    name = "-" if like == "the bytes of one" else given
    done = imgsearch("query", "--like", name, *at, cwd=place, input=content, text=False)
    assert done.returncode == 3
    assert NOTICE.encode() in done.stdout + done.stderr
    assert not [path for path in secret(place) if path.stem.encode() in done.stdout + done.stderr]


def test_copies_of_a_withheld_photo_are_no_duplicates_that_are_shown(place, imgsearch, tmp_path):
    shutil.copytree(place / "photos", tmp_path / "photos")
    for path in sorted((tmp_path / "photos").iterdir()):
        shutil.copyfile(path, path.with_name(f"again-{path.name}"))
    at = ("--store", "store")
    assert imgsearch("index", "photos", *at, cwd=tmp_path).returncode == 0
    hidden = [path.stem for path in secret(place)]
    rest = [path for path in (tmp_path / "photos").iterdir() if path.stem.removeprefix("again-") not in hidden]
    imgsearch("policy", "withhold", *((tmp_path / "photos" / path.name) for path in secret(place)), *at, cwd=tmp_path)
    imgsearch("policy", "allow", *rest, *at, cwd=tmp_path)
    for output_format in ("table", "jsonl", "paths"):
        done = imgsearch("duplicates", "--format", output_format, *at, cwd=tmp_path)
        assert done.returncode == 0
        assert "again-chelsea" in done.stdout or "chelsea" in hidden
        assert not [name for name in hidden if name in done.stdout + done.stderr]


def test_a_run_over_changed_withheld_photos_does_not_name_them(place, imgsearch, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(place, folder)
    assert imgsearch("index", "photos", "--store", "store", cwd=folder).returncode == 0
    imgsearch("policy", "withhold", *secret(folder), "--store", "store", cwd=folder)
    names = [path.name for path in secret(folder)]
    changes = itertools.cycle(["gone", "spoiled", "moved", "changed"])
    for path, change in zip(secret(folder), changes, strict=False):
        if change == "gone":
            path.unlink()
        elif change == "spoiled":
            path.write_bytes(b"no photo")
        elif change == "moved":
            path.rename(path.with_name("moved-" + path.name))
        else:
            path.write_bytes(path.read_bytes() + b"!")
    outputs = [
        imgsearch(*arguments, "--store", "store", cwd=folder)
        for arguments in (("index", "photos", "--dry-run"), ("-vv", "check"), ("-vv", "index", "photos"), ("check",))
    ]
    for done in outputs:
        assert not [name for name in names if name in done.stdout + done.stderr], done.args


def test_withheld_rows_keep_their_ranks_and_nothing_else(place, imgsearch):
    done = imgsearch(
        "query", "a cat", "--min-score", "0", "-k", "12", "--format", "jsonl", "--store", "store", cwd=place
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    ranks = [range(row["rank"], row["rank"] + row.get("count", 1)) for row in rows]
    assert [rank for each in ranks for rank in each] == list(range(1, 13))
    hidden = [row for row in rows if row["withheld"]]
    assert sum(row["count"] for row in hidden) == 6
    assert all(set(row) == {"rank", "count", "withheld", "notice"} for row in hidden)
    assert {row["notice"] for row in hidden} == {NOTICE}
    assert not [pair for pair in itertools.pairwise(rows) if pair[0]["withheld"] and pair[1]["withheld"]]


def test_no_threshold_tells_more_than_two_digits_of_a_withheld_score(place, imgsearch, tmp_path):
    """Asked with one threshold after the other, a withheld photo comes and goes at whole hundredths only."""
    searcher = Searcher(str(place / "store"))
    scores = [match.score for match in searcher.ask("a cat", k=12, min_score=0.0).matches]
    assert scores.count(0.0) == 6

    def withheld_from(step: int) -> int:
        return sum(match.withheld for match in searcher.ask("a cat", k=12, min_score=step / 1000).matches)

    hundredths = [withheld_from(step) for step in range(0, 1001, 10)]
    changing = [n for n, (here, there) in enumerate(itertools.pairwise(hundredths)) if here != there]
    assert changing
    for n in changing:  # .391 shows what .39 does not hide
        assert {withheld_from(10 * n + digit) for digit in range(1, 10)} == {hundredths[n + 1]}


def test_the_reason_for_no_answer_does_not_tell_a_withheld_score(place, imgsearch):
    photo = secret(place)[0]
    searcher = Searcher(str(place / "store"))
    shown = [m.score for m in searcher.ask(photo.stem, k=12, min_score=0.0).matches if not m.withheld]
    assert searcher.ask(photo.stem, k=12, min_score=1.0).reason.startswith(
        f"no photo scores 1.00 or more (the best {max(shown):.2f})"
    )


def test_policy_list_names_them_with_reason_and_probability(place, imgsearch):
    done = imgsearch("policy", "list", "--format", "jsonl", "--store", "store", cwd=place)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["path"] for row in rows] == [f"photos/{path.name}" for path in secret(place)]
    assert all(0 <= row["probability"] <= 1 and row["reason"].endswith(": a test") for row in rows)
    shown = imgsearch("policy", "list", "--store", "store", cwd=place).stdout
    assert all(path.name in shown for path in secret(place))


def test_allowing_by_hand_is_logged_and_wins(place, imgsearch, tmp_path):
    folder = tmp_path
    shutil.copytree(place / "photos", folder / "photos")
    shutil.copyfile(place / "photos" / "chelsea.png", folder / "photos" / "copy.png")
    imgsearch("index", "photos", "--store", "store", cwd=folder)
    # a decision holds for all copies of a content
    names = ("photos/chelsea.png", "--store", "store")
    assert imgsearch("policy", "withhold", *names, cwd=folder).returncode == 0
    allowed = imgsearch("policy", "allow", *names, "--reason", "a cat, seen by ann", cwd=folder)
    assert (allowed.returncode, allowed.stderr) == (0, "2 photos allowed by hand\n")
    asked = ("query", "a cat", "-k", "1", "--min-score", "0", "--format", "paths", "--store", "store")
    found = imgsearch(*asked, cwd=folder)
    assert found.stdout == "photos/chelsea.png\n"
    log = [
        json.loads(line)
        for line in imgsearch("policy", "list", "--log", "--store", "store", cwd=folder).stdout.splitlines()
    ]
    assert [(row["decision"], row["reason"]) for row in log[-2:]] == [("withhold", ""), ("allow", "a cat, seen by ann")]
    assert all(row["time"] and row["user"] for row in log)
    status = json.loads(imgsearch("status", "--format", "jsonl", "--store", "store", cwd=folder).stdout)
    assert status["decided_by_hand"] == 1
    assert imgsearch("policy", "allow", *names, cwd=folder).returncode == 0
    last = imgsearch("policy", "list", "--log", "--store", "store", cwd=folder).stdout.splitlines()[-1]
    assert (json.loads(last)["decision"], json.loads(last)["reason"]) == ("allow", "")
    unknown = imgsearch("policy", "withhold", "nowhere.jpg", "--store", "store", cwd=folder)
    assert unknown.returncode == 2
    assert "no photo is indexed there; nothing was changed" in unknown.stderr
