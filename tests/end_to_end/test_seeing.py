"""`query --html`, `--preview`, `--open`: people see what was found, and nothing of what is withheld."""

from __future__ import annotations

import base64
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from index_store import Library
from tests.end_to_end.conftest import NOTICE
from tests.end_to_end.drawings import SIXELS
from tests.end_to_end.test_no_leak import place, secret  # noqa: F401  (place is a fixture)

ASKED = ("query", "a cat", "--min-score", "0", "-k", "12", "--store", "store")


@pytest.fixture
def viewer(tmp_path) -> Path:
    """A folder with an xdg-open that writes down what it is given."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "xdg-open").write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {tmp_path}/opened\n', encoding="utf-8")
    (folder / "xdg-open").chmod(0o755)
    return folder


def opened(viewer: Path, count: int) -> list[str]:
    """Return what was opened, once it is as many: the viewer is not waited for."""
    deadline = time.monotonic() + 20
    written = viewer.parent / "opened"
    while not written.exists() or len(written.read_text("utf-8").splitlines()) < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return sorted(written.read_text("utf-8").splitlines())


def on_terminal(
    *arguments: str,
    cwd: Path,
    answers: Mapping[bytes, bytes] | None = None,
    columns: int = 80,
    term: str = "xterm-256color",
) -> str:
    """Run the program on a terminal, which `answers` what it is asked, and return what it has shown."""
    import fcntl
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, columns * 10, 1000))
    program = str(Path(sys.executable).with_name("imgsearch"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("IMGSEARCH_")}
    for name in ("COLUMNS", "LINES"):  # they would win over the terminal's own size
        environment.pop(name, None)
    process = subprocess.Popen(
        [program, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=cwd,
        env=environment | {"TERM": term},
    )
    os.close(theirs)
    shown, unanswered = bytearray(), dict(answers or {})
    while True:
        try:
            if not select.select([ours], [], [], 60)[0]:
                process.kill()
                pytest.fail("the program waits")
            part = os.read(ours, 65536)
        except OSError:  # the other end was closed
            break
        if not part:
            break
        shown += part
        for asked in [asked for asked in unanswered if asked in part]:
            os.write(ours, unanswered.pop(asked))
    process.wait(timeout=60)
    os.close(ours)
    return shown.decode("utf-8", "replace")


def shown_names(folder: Path) -> set[str]:
    return {path.name for path in (folder / "photos").iterdir()} - {path.name for path in secret(folder)}


def test_the_page_shows_what_the_table_does_and_nothing_withheld(place, imgsearch, tmp_path):  # noqa: F811
    done = imgsearch(*ASKED, "--html", tmp_path / "page.html", cwd=place)
    assert done.returncode == 0
    page = (tmp_path / "page.html").read_text("utf-8")
    assert {Path(link).name for link in re.findall(r'href="(file://[^"]*)"', page)} == shown_names(place)
    assert len(re.findall(r'src="data:image/jpeg;base64,', page)) == 6
    assert NOTICE in page
    assert not [path.name for path in secret(place) if path.name in page or path.stem in page]
    assert "brick.png" in done.stdout


def test_the_pictures_of_a_page_are_those_of_the_photos_that_are_shown(place, imgsearch, tmp_path):  # noqa: F811
    """No pixel of a withheld photo: of all photos, the one that each picture equals most is shown."""
    import io

    import numpy as np
    from PIL import Image

    imgsearch(*ASKED, "--html", tmp_path / "page.html", cwd=place)
    page = (tmp_path / "page.html").read_text("utf-8")

    def tiny(picture: Image.Image) -> np.ndarray:
        return np.asarray(picture.convert("RGB").resize((16, 16)), dtype=float)

    photos = {path.name: tiny(Image.open(path)) for path in (place / "photos").iterdir()}
    found = set()
    for content in re.findall(r"base64,([^\"]+)", page):
        picture = tiny(Image.open(io.BytesIO(base64.b64decode(content))))
        name = min(photos, key=lambda name: np.abs(picture - photos[name]).mean())
        assert np.abs(picture - photos[name]).mean() < 6
        found.add(name)
    assert found == shown_names(place)


def test_a_refused_text_gives_a_page_with_the_notice_alone(place, imgsearch, tmp_path):  # noqa: F811
    done = imgsearch("query", "children playing", "--html", tmp_path / "a.html", "--store", "store", cwd=place)
    assert done.returncode == 3
    assert NOTICE in (tmp_path / "a.html").read_text("utf-8")


def test_a_photo_is_not_overwritten_by_a_page(place, imgsearch):  # noqa: F811
    before = (place / "photos" / "brick.png").read_bytes()
    done = imgsearch(*ASKED, "--html", "photos/brick.png", cwd=place)
    assert (done.returncode, done.stderr) == (
        2,
        "imgsearch: photos/brick.png: is there already and is no page of imgsearch; name another file\n",
    )
    assert (place / "photos" / "brick.png").read_bytes() == before


def test_the_viewer_gets_what_is_shown_and_nothing_withheld(place, imgsearch, viewer):  # noqa: F811
    path = f"{viewer}{os.pathsep}{os.environ['PATH']}"
    done = imgsearch(*ASKED, "--open", cwd=place, env={"PATH": path})
    assert done.returncode == 0
    assert opened(viewer, 6) == sorted(str(place / "photos" / name) for name in shown_names(place))


def test_the_viewer_gets_the_page_where_there_is_one(place, imgsearch, viewer, tmp_path):  # noqa: F811
    path = f"{viewer}{os.pathsep}{os.environ['PATH']}"
    imgsearch(*ASKED, "--html", tmp_path / "page.html", "--open", cwd=place, env={"PATH": path})
    assert opened(viewer, 1) == [str(tmp_path / "page.html")]


def test_the_viewer_does_not_get_a_photo_that_has_changed_since_it_was_indexed(demo, imgsearch, viewer, tmp_path):
    photo = tmp_path / "photo.png"
    photo.write_bytes((demo / "test_images" / "chelsea.png").read_bytes())
    imgsearch("index", photo, "--store", tmp_path / "store")
    imgsearch("policy", "allow", photo, "--store", tmp_path / "store")
    photo.write_bytes((demo / "test_images" / "rocket.jpg").read_bytes())
    path = f"{viewer}{os.pathsep}{os.environ['PATH']}"
    done = imgsearch("query", "a cat", "--min-score", "0", "--open", "--store", tmp_path / "store", env={"PATH": path})
    assert "photo.png: is gone, or has changed since it was indexed" in done.stderr
    assert not (tmp_path / "opened").exists()


def test_without_a_viewer_it_says_so(place, imgsearch):  # noqa: F811
    done = imgsearch(*ASKED, "--open", cwd=place, env={"PATH": str(place)})
    assert (done.returncode, "no viewer can be started here" in done.stderr) == (0, True)


def test_a_terminal_gets_thumbnails_in_half_blocks_where_it_can_no_more(place):  # noqa: F811
    pytest.importorskip("textual_image")
    shown = on_terminal(*ASKED, "--preview", cwd=place)
    assert "▀" in shown or "▄" in shown
    assert "brick.png" in shown
    assert not [path.name for path in secret(place) if path.name in shown]


@pytest.mark.parametrize("variable", ["NO_COLOR", "TERM"])
def test_a_terminal_without_pictures_and_colours_gets_no_bars(place, monkeypatch, variable):  # noqa: F811
    pytest.importorskip("textual_image")
    monkeypatch.setenv("NO_COLOR", "1" if variable == "NO_COLOR" else "")
    term = "dumb" if variable == "TERM" else "xterm-256color"
    shown = on_terminal(*ASKED, "--preview", cwd=place, term=term)
    assert not set("▀▄") & set(shown)
    assert "neither pictures nor colours" in shown
    assert "brick.png" in shown
    assert ("\x1b[c" in shown) == (variable == "NO_COLOR")  # a dumb terminal is not asked


def test_without_colours_pictures_are_drawn_where_a_terminal_has_them(place, monkeypatch):  # noqa: F811
    pytest.importorskip("textual_image")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1bP" in on_terminal(*ASKED, "--preview", cwd=place, answers=SIXELS)


def test_a_terminal_that_draws_sixels_gets_them(place):  # noqa: F811
    pytest.importorskip("textual_image")
    shown = on_terminal(*ASKED, "--preview", cwd=place, answers=SIXELS)
    assert "\x1bP" in shown
    assert "▀" not in shown


def test_a_pipe_gets_no_thumbnails(place, imgsearch):  # noqa: F811
    plain, done = imgsearch(*ASKED, cwd=place), imgsearch(*ASKED, "--preview", cwd=place)
    assert (done.returncode, done.stdout, done.stderr) == (0, plain.stdout, "")


@pytest.mark.parametrize("option", [("--html", "x.html"), ("--preview",), ("--open",)])
def test_a_batch_has_nothing_to_look_at(place, imgsearch, option):  # noqa: F811
    done = imgsearch("query", "--batch", "-", *option, "--store", "store", cwd=place, input="a cat\n")
    assert (done.returncode, "not a batch" in done.stderr) == (2, True)


def test_from_python_nothing_withheld_is_named_or_drawn(place, monkeypatch):  # noqa: F811
    monkeypatch.chdir(place)
    library = Library(place / "store")
    answer = library.search("a cat", min_score=0.0, k=12)
    assert {os.path.basename(match.path or "") for match in answer} == shown_names(place)
    said = answer._repr_html_() + repr(answer) + repr(library.search(like="photos/brick.png", k=12))
    assert not [path.name for path in secret(place) if path.name in said]
    assert said.count("data:image/jpeg") == 6
    refused = library.search(like=secret(place)[0])
    assert (refused.refused, refused.notice, len(refused)) == (True, NOTICE, 0)
    assert secret(place)[0].name not in refused._repr_html_()
