"""The exit codes that scripts rely on, as a table, and what the standard streams may be."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.conftest import NOTICE

PROGRAM = str(Path(sys.executable).with_name("imgsearch"))
CAT = "test_images/chelsea.png"
FORMATS = ("table", "jsonl", "tsv", "paths")


@pytest.fixture(scope="module")
def place(demo, imgsearch, tmp_path_factory) -> Path:
    """A folder with test_images/ and store/, where the cat is withheld and all others are shown, by hand."""
    folder = tmp_path_factory.mktemp("codes")
    shutil.copytree(demo / "test_images", folder / "test_images")
    (folder / "test_images" / "LICENCES.tsv").unlink()
    at = ("--store", "store", "--reason", "a test")
    assert imgsearch("index", "test_images", "--store", "store", cwd=folder).returncode == 0
    assert imgsearch("policy", "allow", "test_images", *at, cwd=folder).returncode == 0
    assert imgsearch("policy", "withhold", CAT, *at, cwd=folder).returncode == 0
    return folder


def query(*arguments: str) -> tuple[str, ...]:
    return ("query", *arguments, "--store", "store")


def batch(*arguments: str) -> tuple[str, ...]:
    return query("--batch", "-", "--min-score", "0", *arguments)


SHOWN, NOTHING = '{"query": "a cat", "k": 2}', '{"query": "a cat", "min_score": 1}'
WITHHELD, REFUSED, BAD = '{"query": "a cat", "min_score": 0.3}', "two boys", "{bad"

CODES = [
    (0, query("a cat", "--min-score", "0", "-k", "2"), None),
    (0, query("two boys", "--min-score", "0", "--no-policy"), None),
    (1, query("a cat", "--min-score", "1"), None),
    (2, query(""), None),
    (2, query("a cat", "-k", "0"), None),
    (2, ("query", "a cat", "--store", "nowhere"), None),
    (2, ("query", "a cat", "--store", ""), None),
    (2, ("query", "a cat", "--policy", "nowhere.toml"), None),
    (2, query(os.fsdecode(b"caf\xe9")), None),
    (2, query("--batch", "nowhere.txt"), None),
    (3, query("two boys"), None),
    (3, query("a cat", "--min-score", "0.3"), None),
    (0, batch(), (SHOWN,)),
    (0, batch(), (REFUSED, WITHHELD, SHOWN, NOTHING)),
    (1, batch(), ()),
    (1, batch(), ("", "  ")),
    (1, batch(), (NOTHING,)),
    (1, batch(), (REFUSED, NOTHING)),
    (2, batch(), (SHOWN, BAD)),
    (2, batch(), (REFUSED, BAD)),
    (3, batch(), (REFUSED, REFUSED)),
    (3, batch(), (WITHHELD,)),
    (2, batch("-0"), (SHOWN,)),
    (2, batch("--format", "tsv"), (SHOWN,)),
    (0, batch("--format", "jsonl"), (SHOWN,)),
    (2, query("a cat", "-0", "--format", "jsonl"), None),
    (0, ("policy", "check", "a cat"), None),
    (3, ("policy", "check", "a cat", "two boys"), None),
    (0, ("check", "--store", "store"), None),
    (2, ("status", "--store", "nowhere"), None),
    (2, ("nowhere",), None),
    (2, (), None),
    (2, ("forget",), None),
    (0, ("--help",), None),
]


@pytest.mark.parametrize(("code", "arguments", "lines"), CODES, ids=lambda value: str(value)[:60])
def test_exit_codes(place, imgsearch, code, arguments, lines):
    done = imgsearch(*arguments, cwd=place, input="".join(f"{line}\n" for line in lines or ()))
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    if code == 2 and lines is None and arguments:  # a bad line of a batch is told in its answer
        assert (done.stdout, done.stderr.count("\n")) == ("", 1)
        assert done.stderr.startswith("imgsearch: ")
        assert "imgsearch: imgsearch:" not in done.stderr


def run(place: Path, *arguments: str, **streams: object) -> subprocess.CompletedProcess[bytes]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("IMGSEARCH_")}
    return subprocess.run([PROGRAM, *arguments], cwd=place, check=False, **({"env": clean} | streams))


WRITERS = [
    *(query("a cat", "--min-score", "0", "--format", name) for name in FORMATS),
    query("a cat", "--min-score", "0", "-0"),
    ("status", "--store", "store"),
    ("status", "--store", "store", "--format", "jsonl"),
    ("policy", "list", "--store", "store"),
    ("policy", "check", "two boys"),
    ("encoders",),
    ("--help",),
    ("query", "--help"),
    ("--version",),
]


@pytest.fixture
def unread() -> Iterator[int]:
    """The end of a pipe to write into, whose reader went away."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    yield write_end
    os.close(write_end)


@pytest.mark.parametrize("arguments", WRITERS, ids=" ".join)
def test_a_reader_that_went_away_ends_with_141_in_silence(place, imgsearch, unread, arguments):
    done = imgsearch(*arguments, cwd=place, stdout=unread)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("arguments", [WRITERS[0], WRITERS[-1]], ids=" ".join)
def test_the_installed_program_ends_so_too(place, unread, arguments):
    done = run(place, *arguments, stdout=unread, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_batch_without_a_reader_ends_with_141(place, imgsearch, unread):
    done = imgsearch(*batch(), cwd=place, stdout=unread, input="a rocket\n" * 100)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a full device")
@pytest.mark.parametrize("arguments", WRITERS[:2] + WRITERS[5:6] + WRITERS[-3:-2], ids=" ".join)
def test_a_full_device_is_one_line_and_2(place, imgsearch, arguments):
    with open("/dev/full", "wb") as full:
        done = imgsearch(*arguments, cwd=place, stdout=full.fileno())
    assert (done.returncode, done.stderr) == (2, "imgsearch: standard output: no space left on device\n")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a full device")
@pytest.mark.parametrize(
    ("closing", "text", "code"),
    [
        ("2>&-", "a rocket", 0),
        ("2>/dev/full", "two boys", 3),
        ("<&-", "a rocket", 0),
        ("<&- 2>&-", "a rocket", 0),
        ("<&- 2>&-", "two boys", 3),
    ],
)
def test_streams_that_are_closed_or_full_change_no_result(place, closing, text, code):
    command = f"{PROGRAM} query '{text}' -k 1 --min-score 0 --format paths --store store {closing}"
    done = subprocess.run(["sh", "-c", command], cwd=place, capture_output=True, check=False, text=True)
    assert (done.returncode, done.stdout) == (code, "test_images/rocket.jpg\n" if code == 0 else "")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("closing", "output_format"),
    [*((">&-", name) for name in FORMATS), ("<&- >&-", "table"), ("<&- >&- 2>&-", "table"), ("<&- >&- 2>&-", "jsonl")],
)
def test_a_closed_standard_output_changes_no_code_and_no_store(place, imgsearch, closing, output_format):
    command = f"{PROGRAM} query 'a rocket' -k 1 --min-score 0 --format {output_format} --store store {closing}"
    done = subprocess.run(["sh", "-c", command], cwd=place, capture_output=True, check=False, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_closed_standard_output_spoils_no_file_of_a_new_store(place, imgsearch):
    command = f"{PROGRAM} index test_images --store closed <&- >&- 2>&-"
    assert subprocess.run(["sh", "-c", command], cwd=place, check=False).returncode == 0
    done = imgsearch("check", "--store", "closed", cwd=place)
    assert (done.returncode, done.stderr) == (0, "no problems found\n")


def test_a_pipe_that_another_program_made_non_blocking_loses_nothing(place):
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    command = [PROGRAM, *batch("-k", "12")]
    lines = b"a rocket\n" * 60  # more than a pipe holds
    with subprocess.Popen(command, cwd=place, stdin=subprocess.PIPE, stdout=write_end, stderr=subprocess.PIPE) as run_:
        os.close(write_end)
        run_.stdin.write(lines)
        run_.stdin.close()
        # nothing is read before the program waits: the first answer fills a part of the pipe, the last do not fit
        while run_.poll() is None and select.select([read_end], [], [], 0)[0] == []:
            pass
        with open(read_end, "rb") as reader:
            answers = reader.read().splitlines()
        assert run_.stderr.read() == b""
    assert (run_.returncode, len(answers)) == (0, 60)
    assert {json.loads(line)["query"] for line in answers} == {"a rocket"}


def test_no_message_shows_the_password_of_a_server(place, imgsearch):
    for arguments in (query("a cat")[:-2], ("status",), ("-vv", "--debug", "status")):
        done = imgsearch(*arguments, "--store", "http://ann:secret@127.0.0.1:9", cwd=place)
        assert done.returncode == 2
        assert "secret" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("environment", "times"),
    [
        ({"PYTHONIOENCODING": "cp1252"}, "×".encode("cp1252")),
        ({"PYTHONIOENCODING": "ascii"}, b"x"),
        ({"PYTHONIOENCODING": "latin-1"}, "×".encode("latin-1")),
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, b"x"),
        ({"LC_ALL": "C"}, "×".encode()),
    ],
    ids=str,
)
def test_a_narrow_encoding_gets_plain_characters(place, environment, times):
    odd = place / "odd"
    odd.mkdir(exist_ok=True)
    shutil.copyfile(place / "test_images" / "rocket.jpg", odd / "ракета.jpg")
    env = os.environ | environment
    done = run(place, *query("a rocket", "--min-score", "0"), env=env, capture_output=True)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)
    assert b" " + times + b" " in done.stdout


@pytest.mark.parametrize("arguments", [("status", "--store", "store"), ("encoders",)], ids=" ".join)
def test_other_commands_write_in_a_narrow_encoding_too(place, arguments):
    done = run(place, *arguments, env=os.environ | {"PYTHONIOENCODING": "ascii"}, capture_output=True)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)


def test_neighbours_that_are_withheld_are_one_entry_without_figures(place, imgsearch):
    asked = query("a cat", "--min-score", "0", "-k", "3")
    first, second, third, fourth = (
        json.loads(line) for line in imgsearch(*asked, "--format", "jsonl", cwd=place).stdout.splitlines()
    )
    assert not any(row["withheld"] for row in (second, third, fourth))  # three are shown, whatever is withheld
    assert first == {"withheld": True, "count": 1, "rank": 1, "notice": NOTICE}
    decide = (second["path"], "--store", "store", "--reason", "a test")
    assert imgsearch("policy", "withhold", *decide, cwd=place).returncode == 0
    try:
        rows = [json.loads(line) for line in imgsearch(*asked, "--format", "jsonl", cwd=place).stdout.splitlines()]
        assert rows[:3] == [{"withheld": True, "count": 2, "rank": 1, "notice": NOTICE}, third, fourth]
        assert len(rows) == 4
        table = imgsearch(*asked, cwd=place).stdout.splitlines()
        assert table[2].split(maxsplit=1)[0] == "1-2"
        assert re.split(r"  +", table[2].split(maxsplit=1)[1].strip()) == ["2 photos", NOTICE]
        assert table[3].split()[0] == "3"
    finally:
        imgsearch("policy", "allow", *decide, cwd=place)
