"""What can be asked besides a text: photos, what to keep away from, days, folders, cameras, shapes."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.end_to_end.conftest import NOTICE

PHOTOS = {  # name: photo of the demo, day and camera in its EXIF, size
    "2020/cat.jpg": ("chelsea.png", "2020:01:31 10:00:00", "ACME", (300, 200)),
    "2021/coffee.jpg": ("coffee.png", "2021:06:14 10:00:00", "Other", (200, 300)),
    "2021/rocket.jpg": ("rocket.jpg", "2021:07:01 10:00:00", "ACME", (300, 200)),
    "brick.jpg": ("brick.png", "", "", (200, 200)),
}


@pytest.fixture(scope="module")
def place(demo, imgsearch, tmp_path_factory) -> Path:
    """A folder with photos of known days, cameras and shapes, all allowed by hand; astronaut.png is not indexed."""
    folder = tmp_path_factory.mktemp("asking")
    for name, (source, day, maker, size) in PHOTOS.items():
        path = folder / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        if day:
            exif.get_ifd(0x8769)[0x9003] = day
            exif[0x010F] = maker
        Image.open(demo / "test_images" / source).convert("RGB").resize(size).save(path, exif=exif)
    os.utime(folder / "photos" / "brick.jpg", (1_600_000_000, 1_600_000_000))
    shutil.copyfile(demo / "test_images" / "astronaut.png", folder / "astronaut.png")
    assert imgsearch("index", "photos", "--store", "store", cwd=folder).returncode == 0
    assert imgsearch("policy", "allow", "photos", "--store", "store", cwd=folder).returncode == 0
    return folder


@pytest.fixture
def found(imgsearch, place):
    """Return a function that returns the names that a query finds, sorted."""

    def found(*arguments: str, text: tuple[str, ...] = ("a", "photo")) -> list[str]:
        done = imgsearch(
            "query", *text, *arguments, "--min-score", "0", "--format", "paths", "--store", "store", cwd=place
        )
        assert done.returncode in {0, 1}, done.stderr
        return sorted(line.removeprefix("photos/") for line in done.stdout.splitlines())

    return found


CAT, COFFEE, ROCKET, BRICK = PHOTOS


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("--after", "2021"), [COFFEE, ROCKET]),
        (("--before", "2021"), [CAT, BRICK]),
        (("--after", "2021-06", "--before", "2021-07"), [COFFEE]),
        (("--after", "2021-06-14", "--before", "2021-06-15"), [COFFEE]),
        (("--after", "2020-01-31", "--before", "2020-02"), [CAT]),
        (("--after", "2021-06-15"), [ROCKET]),
        (("--in", "photos/2021"), [COFFEE, ROCKET]),
        (("--in", "photos/2020", "--in", "photos/2021/"), [CAT, COFFEE, ROCKET]),
        (("--in", "photos"), sorted(PHOTOS)),
        (("--camera", "acme"), [CAT, ROCKET]),
        (("--camera", "ACME", "--in", "photos/2021"), [ROCKET]),
        (("--landscape",), [CAT, ROCKET]),
        (("--portrait",), [COFFEE]),
        (("--camera", "nobody"), []),
    ],
    ids=" ".join,
)
def test_filters_let_through_what_they_say(found, arguments, names):
    assert found(*arguments) == sorted(names)


def test_the_answer_says_whether_the_day_is_that_of_the_camera_or_of_the_file(imgsearch, place):
    asked = ("query", "a photo", "--min-score", "0", "--store", "store")
    rows = [json.loads(line) for line in imgsearch(*asked, "--json", cwd=place).stdout.splitlines()]
    days = {row["path"]: (row["day"], row["day_from"]) for row in rows}
    assert days["photos/2021/coffee.jpg"] == ("2021-06-14", "camera")
    assert days["photos/brick.jpg"] == ("2020-09-13", "file")
    table = imgsearch(*asked, "--before", "2021", cwd=place).stdout
    assert "2020-09-13 (file)" in table
    assert "2020-01-31 " in table


def test_words_need_no_quotes_and_two_hyphens_end_options(imgsearch, place):
    at = ("--min-score", "0", "--format", "paths", "--store", "store")
    for words in (("a", "cat", *at, "-n", "1"), (*at, "-k", "1", "--", "a", "cat"), ("a", "-k1", *at, "cat")):
        assert imgsearch("query", *words, cwd=place).stdout == f"{CAT_PATH}\n"
    dashed = imgsearch("query", *at, "-k", "1", "--", "-k", "--a-cat", cwd=place)
    assert (dashed.returncode, dashed.stdout.count("\n")) == (0, 1)


def test_a_photo_finds_itself_and_what_is_like_it_is_called_similarity(imgsearch, place):
    done = imgsearch("query", "--like", "photos/2020/cat.jpg", "-k", "1", "--store", "store", cwd=place)
    head, _, row = done.stdout.splitlines()
    assert head.split() == ["rank", "similarity", "photo", "size"]
    assert row.split()[1] == "1.00"
    assert "cat.jpg" in row


def test_a_photo_that_is_not_indexed_and_one_of_standard_input_are_searched_too(imgsearch, place, demo):
    source = demo / "test_images" / "chelsea.png"
    at = ("-k", "1", "--format", "paths", "--store", "store")
    by_name = imgsearch("query", "--like", source, *at, cwd=place)
    by_bytes = imgsearch("query", "--like", "-", *at, cwd=place, input=source.read_bytes(), text=False)
    assert (by_name.stdout, by_bytes.stdout) == (f"photos/{CAT}\n", f"photos/{CAT}\n".encode())
    assert imgsearch("check", "--store", "store", cwd=place).returncode == 0
    status = json.loads(imgsearch("status", "--json", "--store", "store", cwd=place).stdout)
    assert status["photos"] == len(PHOTOS)


def test_a_photo_that_is_given_with_a_text_is_no_answer_itself(found):
    assert CAT not in found("--like", CAT_PATH)


CAT_PATH = f"photos/{CAT}"


def test_several_photos_are_asked_for_together(imgsearch, place):
    two = ("--like", CAT_PATH, "--like", f"photos/{ROCKET}")
    done = imgsearch("query", *two, "-k", "2", "--format", "paths", "--store", "store", cwd=place)
    assert sorted(done.stdout.splitlines()) == [CAT_PATH, f"photos/{ROCKET}"]


def test_what_is_to_be_kept_away_from_sinks(imgsearch, place):
    asked = ("query", "a photo", "--min-score", "0", "--json", "--store", "store")

    def score(*arguments: str) -> dict[str, float]:
        lines = imgsearch(*asked, *arguments, cwd=place).stdout.splitlines()
        return {row["path"]: row["score"] for row in map(json.loads, lines)}

    before, after = score(), score("--not", "a cup of coffee")
    kept = {path: after[path] / before[path] for path in before}
    assert min(kept, key=lambda path: kept[path]) == f"photos/{COFFEE}"
    assert all(share <= 1.0 for share in kept.values())


@pytest.mark.parametrize("output_format", ["table", "jsonl", "tsv", "paths"])
@pytest.mark.parametrize("given", ["a path", "standard input"])
def test_a_photo_that_the_rule_withholds_is_answered_by_the_notice(imgsearch, place, output_format, given):
    source = place / "astronaut.png"
    at = ("--format", output_format, "--store", "store")
    if given == "a path":
        done = imgsearch("query", "--like", source, "a rocket", *at, cwd=place, text=False)
    else:
        done = imgsearch("query", "--like", "-", *at, cwd=place, input=source.read_bytes(), text=False)
    assert done.returncode == 3
    said = done.stdout + done.stderr
    assert NOTICE.encode() in said
    assert b"astronaut" not in said
    assert b"astronaut" not in b"".join(path.read_bytes() for path in (place / "store").rglob("*") if path.is_file())


@pytest.mark.parametrize("texts", [("two boys",), ("a beach", "--not", "two boys"), ("--not", "a girl", "a beach")])
def test_no_text_about_a_child_is_answered_wherever_it_stands(imgsearch, place, texts):
    done = imgsearch("query", *texts, "--store", "store", cwd=place)
    assert (done.returncode, done.stdout) == (3, NOTICE + "\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "name a TEXT, a photo with --like, or a file with --batch"),
        (("--not", "snow"), "name a TEXT, a photo with --like, or a file with --batch"),
        (("a", "--not", " "), "the text of --not is empty"),
        (("--like", ""), "is empty"),
        (("--like", "none.jpg"), "none.jpg: no such file or directory"),
        (("--like", "photos"), "photos: is"),
        (("--like", "-", "--like", "-"), "standard input holds one photo; name - once"),
        (("a", "--in", "nowhere"), "nowhere: no photos are indexed there"),
        (("a", "--after", "soon"), "'soon' is no date; write 2021, 2021-06 or 2021-06-14"),
        (("a", "--after", "2021-02-30"), "'2021-02-30' is no date"),
        (("a", "--after", "2021-13"), "'2021-13' is no date"),
        (("a", "--after", "21"), "'21' is no date"),
        (("a", "--after", "2021", "--before", "2020"), "no day lies on or after 2021-01-01 and before 2020-01-01"),
        (("a", "--json", "--format", "tsv"), "--json and --format tsv exclude each other"),
        (("a", "--limit", "3"), "there is no option --limit; did you mean -k?"),
        (("a", "--min-scor", "3"), "there is no option --min-scor; did you mean --min-score?"),
        (("a", "--limt", "3"), "there is no option --limt; did you mean -k?"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_asked_is_one_line(imgsearch, place, arguments, said):
    done = imgsearch("query", *arguments, "--store", "store", cwd=place, input="")
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_empty_standard_input_is_no_photo(imgsearch, place):
    done = imgsearch("query", "--like", "-", "--store", "store", cwd=place, input="")
    assert (done.returncode, done.stderr) == (
        2,
        "imgsearch: --like -: standard input is empty; give it the bytes of a photo\n",
    )


def test_the_name_of_a_photo_gets_a_hint(imgsearch, place):
    done = imgsearch("query", CAT_PATH, "--min-score", "0", "--store", "store", cwd=place)
    assert "to search by the photo itself: imgsearch query --like PHOTO" in done.stderr


@pytest.mark.parametrize("text", ['a sign that says "stop"', '"open"', "a shirt with the words 'hello'"])
def test_words_in_pictures_get_a_hint(imgsearch, place, text):
    done = imgsearch("query", text, "--min-score", "0", "--store", "store", cwd=place)
    assert "words that are written in a picture are not read" in done.stderr
    assert "not read" not in imgsearch("query", text, "--store", "store", "-q", cwd=place).stderr


def on_terminal(place: Path, *arguments: str) -> tuple[int, str]:
    """Run the program with standard output on a terminal."""
    program = Path(sys.executable).with_name("imgsearch")
    parent, child = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("IMGSEARCH_")}
    done = subprocess.run(
        [program, *arguments], stdout=child, stderr=subprocess.DEVNULL, cwd=place, check=False,
        env=environment | {"TERM": "xterm", "COLUMNS": "100"},
    )  # fmt: skip
    os.close(child)
    shown = b""
    while True:
        try:
            read = os.read(parent, 65536)
        except OSError:  # Linux: the other end is closed
            break
        if not read:
            break
        shown += read
    os.close(parent)
    return done.returncode, shown.decode()


def test_where_nothing_is_good_enough_a_terminal_shows_the_nearest_dimmed(imgsearch, place):
    asked = ("query", "zebra", "--min-score", "1", "--store", "store")
    code, shown = on_terminal(place, *asked)
    assert code == 1
    assert all(Path(name).name in shown for name in PHOTOS)
    assert "\x1b[2m" in shown
    piped = imgsearch(*asked, cwd=place)
    assert (piped.returncode, piped.stdout) == (1, "")
    assert piped.stderr.endswith("; --min-score 0 shows the nearest\n")
    quiet = imgsearch(*asked, "-q", cwd=place)
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (1, "", "")


def test_photos_that_are_gone_are_marked_and_left_out_of_paths(imgsearch, place, tmp_path):
    folder = tmp_path / "own"
    shutil.copytree(place / "photos", folder / "photos")
    at = ("--min-score", "0", "--store", "store")
    assert imgsearch("index", "photos", "--store", "store", cwd=folder).returncode == 0
    assert imgsearch("policy", "allow", "photos", "--store", "store", cwd=folder).returncode == 0
    (folder / "photos").rename(folder / "away")
    done = imgsearch("query", "a photo", *at, cwd=folder)
    assert done.stdout.count("no longer there") == len(PHOTOS)
    assert done.stderr.count(f"{folder / 'photos'}: is not there") == 1
    paths = imgsearch("query", "a photo", "--format", "paths", *at, cwd=folder)
    assert (paths.returncode, paths.stdout) == (1, "")
    found = imgsearch("check", "--store", "store", cwd=folder)
    assert found.stdout.splitlines() == [
        f"photos: is not there, with {len(PHOTOS)} files: is its disk mounted? was it moved ('imgsearch move')?"
    ]
    moved = imgsearch("move", "photos", "away", "--store", "store", cwd=folder)
    assert (moved.returncode, moved.stderr) == (0, f"{len(PHOTOS)} photos followed\n")
    again = imgsearch("query", "a photo", "--in", "away/2021", "--format", "paths", *at, cwd=folder)
    assert sorted(again.stdout.splitlines()) == ["away/2021/coffee.jpg", "away/2021/rocket.jpg"]
    assert imgsearch("check", "--store", "store", cwd=folder).returncode == 0
    unchanged = imgsearch("index", "--store", "store", cwd=folder)
    assert unchanged.stderr.startswith(f"0 added, {len(PHOTOS)} unchanged")
    gone = imgsearch("query", "a photo", "--in", "photos", *at, cwd=folder)
    assert (gone.returncode, "no photos are indexed there" in gone.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("photos", "nowhere"), "nowhere: is not there; move the folder first; nothing was changed"),
        (("nowhere", "photos"), "nowhere: nothing is indexed there; nothing was changed"),
    ],
)
def test_a_move_that_cannot_be_followed_changes_nothing(imgsearch, place, arguments, said):
    done = imgsearch("move", *arguments, "--store", "store", cwd=place)
    assert done.returncode == 2
    assert done.stderr == f"imgsearch: {place / said}\n"
