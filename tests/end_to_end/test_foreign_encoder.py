"""An encoder of others at its true size, from a plain command to scores, a threshold and the notice; nothing leaks.

CLIP ViT-B/32 has random weights here, so what is found first means nothing; all around it is what users have.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.end_to_end.conftest import NOTICE, Run
from tests.index_store.true_clip import make_true_clip, photos_of_all_kinds

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PHOTOS = 40
HIDDEN_BY_HAND = 12
FORMATS = ("table", "jsonl", "tsv", "paths")


@pytest.fixture(scope="module")
def place(imgsearch, tmp_path_factory) -> Path:
    """A folder with photos/ and store/, indexed with the model in clip/; some photos are withheld by hand."""
    folder = tmp_path_factory.mktemp("foreign")
    make_true_clip(folder / "clip", 32)
    for number, path in enumerate(photos_of_all_kinds(folder / "made", PHOTOS)):
        (folder / "photos").mkdir(exist_ok=True)
        path.rename(folder / "photos" / f"zq{number:02}x{path.suffix}")
    done = imgsearch("index", "--encoder", "./clip", "./photos", "--store", "store", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(f"{PHOTOS} added")
    by_hand = sorted((folder / "photos").iterdir())[:HIDDEN_BY_HAND]
    done = imgsearch("policy", "withhold", *by_hand, "--store", "store", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def ask(place, imgsearch) -> Run:
    return lambda *arguments: imgsearch(*arguments, "--store", "store", cwd=place)


@pytest.fixture(scope="module")
def hidden(ask) -> list[str]:
    """The names of what is withheld, by hand and by the rule that ships."""
    listed = ask("policy", "list", "--format", "jsonl").stdout.splitlines()
    names = [Path(json.loads(line)["path"]).stem for line in listed]
    assert HIDDEN_BY_HAND <= len(names) < PHOTOS
    return names


def test_a_query_needs_no_encoder_and_has_scores_and_a_threshold(ask):
    done = ask("query", "a dog on a beach", "--min-score", "0", "-n", "50", "--format", "jsonl")
    assert (done.returncode, done.stderr) == (0, "")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    shown = [row for row in rows if not row["withheld"]]
    assert {row["calibrated"] for row in shown} == {"by reference"}
    scores = [row["score"] for row in shown]
    assert scores == sorted(scores, reverse=True)
    assert 0 < scores[-1] < scores[0] < 1
    assert {row["notice"] for row in rows if row["withheld"]} == {NOTICE}
    by_default = ask("query", "a dog on a beach", "--format", "jsonl")
    above = [json.loads(line) for line in by_default.stdout.splitlines()]
    assert [row["path"] for row in above if not row["withheld"]] == [row["path"] for row in shown if row["score"] > 0.5]
    nothing = ask("query", "a dog on a beach", "--min-score", "1")
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert nothing.stderr.startswith("nothing found: no photo scores 1.00 or more")


def test_a_text_is_refused_as_with_the_encoder_that_ships(ask):
    for text in ("two boys playing", "being rocked to sleep by mama in the cradle"):
        done = ask("query", text)
        assert (done.returncode, NOTICE in done.stdout + done.stderr) == (3, True)


def test_a_bare_index_needs_no_encoder(ask):
    done = ask("index")
    assert (done.returncode, done.stderr.partition(" in ")[0]) == (0, f"0 added, {PHOTOS} unchanged")
    status = json.loads(ask("status", "--format", "jsonl").stdout)
    assert status["encoder"].startswith("clip-")
    assert (status["dimension"], status["photos"]) == (512, PHOTOS)


def test_no_output_has_anything_of_a_withheld_photo(ask, hidden):
    asked = [("query", "a cat", "--min-score", "0", "-n", "50", "--format", name) for name in FORMATS]
    asked += [
        ("-vv", "--debug", "query", "a cat", "--min-score", "0"),
        ("query", "a cat", "--min-score", "1"),
        ("status",),
        ("-vv", "check"),
        ("-vv", "index"),
        ("duplicates", "--format", "paths"),
    ]
    for arguments in asked:
        done = ask(*arguments)
        assert done.returncode in {0, 1}, done.stderr
        assert not [name for name in hidden if name in done.stdout + done.stderr], arguments


def test_a_withheld_photo_is_not_searched_by(ask, place, hidden):
    given = next(path for path in (place / "photos").iterdir() if path.stem == hidden[0])
    done = ask("query", "--like", given)
    assert (done.returncode, NOTICE in done.stdout + done.stderr) == (3, True)


def test_two_encoders_in_one_store_are_both_shown_and_a_query_says_which_it_used(ask):
    """Run last: it changes which one the store is used with."""
    clip = json.loads(ask("status", "--format", "jsonl").stdout)["encoder"]
    assert ask("index", "--encoder", "lite2-minilm", "./photos").returncode == 0
    status = ask("status").stdout
    ships = json.loads(ask("status", "--format", "jsonl").stdout)["encoder"]
    assert ships.startswith("lite2-minilm-")
    assert f"{clip}, {PHOTOS} photos" in status
    for options, used, other in (((), ships, clip), (("--encoder", clip), clip, ships)):
        done = ask("query", "a cat", "--min-score", "0", *options)
        assert f"searched with {used}; --encoder takes another: {other}" in done.stderr
