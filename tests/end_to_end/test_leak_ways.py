"""Every way out over photos that are withheld by the rule, by a policy file and by hand: no name, path, id or pixel.

Which photos are withheld is worked out here, from the probabilities in the store and the decisions that were made; what
the library says of it is compared with that. The last tests show that what looks for leaks finds them.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from statistics import median

import click
import numpy as np
import pytest
from PIL import Image, ImageOps

from imgsearch_cli import main
from imgsearch_cli.serve.photo_ids import PhotoIds
from index_store import Library
from index_store.compliance.policy import SHIPPED_POLICY, load_policy
from index_store.photos.thumbnails import Thumbnails
from index_store.store.image_store import open_store
from tests.end_to_end.conftest import NOTICE
from tests.end_to_end.drawings import KITTY, SIXELS, pictures
from tests.end_to_end.serving import until
from tests.end_to_end.test_seeing import on_terminal
from tests.end_to_end.test_watch import watching

TWO_POLICIES = ("half", "all but allowed")
POLICIES = (*TWO_POLICIES, "shipped", "hand alone")
BY_HAND, ALLOWED = 2, 1
"""Photos withheld by hand, which the rule finds the least likely, and allowed, which it finds the likeliest."""


@dataclass(frozen=True)
class Place:
    """A folder with photos/ and store/; policy files by name, and what each hides, by path."""

    folder: Path
    policies: dict[str, Path]
    hidden: dict[str, list[Path]]

    @property
    def photos(self) -> list[Path]:
        return sorted(path for path in (self.folder / "photos").rglob("*") if path.is_file())

    def shown(self, policy: str) -> list[Path]:
        return [path for path in self.photos if path not in self.hidden[policy]]


@pytest.fixture(scope="module")
def place(demo, tmp_path_factory) -> Place:
    folder = tmp_path_factory.mktemp("ways")
    (folder / "photos" / "again").mkdir(parents=True)
    for number, path in enumerate(sorted((demo / "test_images").glob("*.[pj][np]g"))):
        name = f"zq{number:02}x{path.suffix}"
        shutil.copyfile(path, folder / "photos" / name)
        shutil.copyfile(path, folder / "photos" / "again" / f"copy-{name}")
    library = Library(folder / "store")
    library.index(folder / "photos")
    rows = sorted(open_store(str(folder / "store")).photos(), key=lambda row: (row.verdict.probability, row.image_id))
    by_hand, allowed = rows[:BY_HAND], rows[-ALLOWED:]
    library.decide([row.image_id for row in by_hand], withhold=True, reason="a test")
    library.decide([row.image_id for row in allowed], withhold=False, reason="a test")
    thresholds = {
        "shipped": load_policy(None).photo_threshold,
        "half": median(row.verdict.probability for row in rows),
        "all but allowed": 0.0,
        "hand alone": 1.0,
    }
    policies, hidden = {}, {}
    for name, threshold in thresholds.items():
        policies[name] = folder / f"{name.replace(' ', '-')}.toml"
        text = SHIPPED_POLICY.read_text("utf-8")
        policies[name].write_text(re.sub(r"(?m)^threshold = .*$", f"threshold = {threshold!r}", text, count=1), "utf-8")
        withheld = [
            row for row in rows if row in by_hand or (row not in allowed and row.verdict.probability >= threshold)
        ]
        hidden[name] = sorted(Path(path) for row in withheld for path in row.paths)
    return Place(folder, policies, hidden)


def run(*arguments: str | Path, cwd: Path, given: bytes = b"") -> tuple[int, bytes]:
    """Run the program in this process; return its exit code and all that it has written."""
    with pytest.MonkeyPatch.context() as patch:
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace") for _ in range(2))
        patch.setattr(sys, "argv", ["imgsearch", *map(str, arguments)])
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given), "utf-8"))
        patch.chdir(cwd)
        code = main._main()
        out.flush()
        err.flush()
        return code, out.buffer.getvalue() + err.buffer.getvalue()


def words_of(photos: list[Path]) -> list[bytes]:
    """Return all that a photo is known by: its name, its content's hash, the id that the web page would give it."""
    contents = [hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest() for path in photos]
    return [word.encode() for word in (*(path.stem for path in photos), *contents, *map(PhotoIds().of, contents))]


def pictures_in(output: bytes) -> Iterator[Image.Image]:
    """Yield the JPEGs in an output, as bytes and as data in a page."""
    found = [base64.b64decode(data) for data in re.findall(rb"base64,([A-Za-z0-9+/=]+)", output)]
    found += [output[at.start() :] for at in re.finditer(rb"\xff\xd8\xff", output)]
    for content in found:
        yield Image.open(io.BytesIO(content))


def tiny(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.convert("RGB").resize((16, 16)), dtype=float)


def most_like(picture: np.ndarray, photos: dict[Path, np.ndarray]) -> Path:
    return min(photos, key=lambda path: float(np.abs(picture - photos[path]).mean()))


@pytest.fixture(scope="module")
def looks(place) -> dict[Path, np.ndarray]:
    """What each photo looks like, copies left out."""
    return {path: tiny(Image.open(path)) for path in place.photos if path.parent.name == "photos"}


def leaks(output: bytes, hidden: list[Path], looks: dict[Path, np.ndarray]) -> list[str]:
    """Return what an output has of hidden photos."""
    found = [word.decode() for word in words_of(hidden) if word in output]
    seen = [most_like(tiny(picture), looks) for picture in pictures_in(output)]
    return found + [f"pixels of {path.name}" for path in seen if path in hidden]


ANY = ("--min-score", "0", "-n", "50")
SHOWN, HIDDEN = "the first photo that is shown", "the first photo that is not"
QUERIES = [("query", "a cat", *ANY, "--format", name) for name in ("table", "jsonl", "tsv", "paths")]
WAYS = [
    *QUERIES,
    ("query", "a cat", *ANY, "-0"),
    ("-vv", "--debug", "query", "a cat", *ANY, "--pool", "10000"),
    ("query", "a cat", "--min-score", "1"),
    ("query", "a cat", *ANY, "--html", "page.html"),
    ("query", "a cat", "--min-score", "1", "--html", "nearest.html"),
    ("query", "a cat", *ANY, "--open"),
    ("query", "a cat", *ANY, "--not", "snow", "--in", "photos/again", "--after", "2000", "--json"),
    *(("query", "--like", SHOWN, *ANY, "--format", name) for name in ("table", "jsonl", "paths")),
    ("query", "--like", SHOWN, "a cat", *ANY, "--html", "like.html"),
    ("query", "--batch", "-", *ANY),
    ("duplicates", "--equal"),
    ("duplicates", "--json"),
    ("duplicates", "--format", "paths"),
    ("-vv", "status", "--json"),
    ("status",),
    ("-vv", "check"),
    ("check", "--json"),
    ("-vv", "index", "--dry-run"),
    ("-vv", "index", "photos", "--rehash", "--dry-run"),
]


@pytest.mark.parametrize(
    ("policy", "way"),
    [(policy, way) for way in WAYS for policy in (POLICIES if way in QUERIES else TWO_POLICIES)],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_no_way_out_has_anything_of_a_withheld_photo(place, looks, monkeypatch, policy, way):
    hidden, shown = place.hidden[policy], place.shown(policy)
    opened: list[str] = []
    monkeypatch.setattr(click, "launch", lambda path: opened.append(path) or 0)
    if SHOWN in way and not shown:
        pytest.skip("all are hidden")
    arguments = [str(shown[0]) if word == SHOWN else word for word in way]
    at = ("--store", "store", "--policy", place.policies[policy])
    code, said = run(*arguments, *at, cwd=place.folder, given=b"a cat\na rocket\n")
    assert b"Traceback" not in said
    assert code in {0, 1, 3}, said.decode()
    pages = [place.folder / word for word in way if word.endswith(".html")]
    said += "\n".join(opened).encode() + b"".join(page.read_bytes() for page in pages)
    assert not leaks(said, hidden, looks)
    if "--html" in way and "0" in way:
        # the likeliest photo is allowed by hand under each policy, so that each page has a picture to look at
        assert {most_like(tiny(picture), looks) for picture in pictures_in(said)} <= set(shown)
        assert NOTICE.encode() in said


@pytest.mark.parametrize("policy", POLICIES)
def test_what_is_withheld_is_what_the_thresholds_and_decisions_say(place, policy):
    library = Library(place.folder / "store", policy_file=place.policies[policy])
    assert sorted(Path(path) for photo in library.withheld() for path in photo.paths) == place.hidden[policy]
    answer = library.search("a cat", k=50, min_score=0)
    seen = {Path(path) for match in answer if not match.withheld for path in match.paths}
    assert seen == set(place.shown(policy))


@pytest.mark.parametrize("policy", POLICIES)
def test_a_notebook_shows_nothing_of_it(place, looks, policy):
    library = Library(place.folder / "store", policy_file=place.policies[policy])
    likely = {row.image_id: row.verdict.probability for row in open_store(str(place.folder / "store")).photos()}
    # further looks may withhold a given photo that lies near the threshold
    given = min(place.shown(policy), key=lambda path: likely.get(str(path), 1.0))
    for answer in (library.search("a cat", k=50, min_score=0), library.search(like=given, k=50)):
        said = (answer._repr_html_() + repr(answer) + str(list(answer))).encode()
        assert not leaks(said, place.hidden[policy], looks)
        assert len(list(pictures_in(said))) == len({p for p in place.shown(policy) if p.parent.name == "photos"})


@pytest.mark.parametrize("policy", TWO_POLICIES)
def test_a_hidden_photo_or_its_copy_is_not_searched_by(place, looks, policy):
    at = ("--store", "store", "--policy", place.policies[policy])
    for given in place.hidden[policy][:2]:
        for name, content in ((given, b""), ("-", given.read_bytes())):
            code, said = run(
                "query", "--like", name, "a cat", "--html", "no.html", *at, cwd=place.folder, given=content
            )
            assert (code, NOTICE.encode() in said) == (3, True)
            assert not leaks(said + (place.folder / "no.html").read_bytes(), place.hidden[policy], looks)


@pytest.mark.parametrize("policy", TWO_POLICIES)
def test_the_web_page_and_its_api_have_nothing_of_it(place, looks, monkeypatch, policy):
    pytest.importorskip("starlette")
    from starlette.testclient import TestClient

    from imgsearch_cli.serve.app import make_app
    from imgsearch_cli.serve.search_api import SearchApi
    from index_store.queries.live import LiveSearcher

    monkeypatch.chdir(place.folder)
    thumbnails = Thumbnails()
    live = LiveSearcher(str(place.folder / "store"), None, place.policies[policy])
    hidden = place.hidden[policy]
    with TestClient(make_app(SearchApi(live, thumbnails), 1, 8765), base_url="http://127.0.0.1:8765") as client:
        everything = {"min_score": "0", "k": "100"}
        answer = client.get("/api/search", params=everything | {"q": "a cat"})
        ids = [row["id"] for row in answer.json()["matches"] if not row["withheld"]]
        said = [answer, client.get("/"), client.get("/api/search", params={"q": "a cat", "min_score": "1"})]
        said += [client.get("/api/search", params=everything | {"like": ids[0]})]
        said += [client.get(f"/photos/{each}/{size}") for each in ids for size in ("small", "large")]
        said += [client.get(f"/api/photos/{each}") for each in ids]
        assert not [leak for each in said for leak in leaks(each.content, hidden, looks)]
        assert {most_like(tiny(p), looks) for each in said for p in pictures_in(each.content)} == {
            path for path in place.shown(policy) if path in looks
        }
        unknown = client.get("/photos/x/small")
        for path in hidden:
            photo_id = PhotoIds().of(hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest())
            for name in (f"/photos/{photo_id}/small", f"/photos/{photo_id}/large", f"/api/photos/{photo_id}"):
                assert (client.get(name).status_code, client.get(name).content) == (404, unknown.content)
            assert client.get("/api/search", params={"like": photo_id}).status_code == 400
            dropped = client.post("/api/photos", content=path.read_bytes())
            assert dropped.json() == {"withheld": True, "notice": NOTICE}
        assert not {key for key, _ in thumbnails._kept} & {word.decode() for word in words_of(hidden)}
    thumbnails.close()


def test_no_cache_and_no_log_keeps_anything_of_it(place):
    """Run last of what reads: the caches of all that was asked above lie in this session's own folder."""
    words = re.compile(b"|".join(map(re.escape, words_of(place.hidden["all but allowed"]))))
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME"):
        for path in Path(os.environ[name]).rglob("*"):
            if path.is_file() and "chroma" not in path.name and not path.name.startswith("languages-"):
                assert not words.search(path.read_bytes()), path


TERMINALS = {"half blocks": {}, "sixels": SIXELS, "kitty": KITTY}


@pytest.mark.parametrize("terminal", TERMINALS)
@pytest.mark.parametrize(
    "policy", ["half", *(pytest.param(name, marks=pytest.mark.slow) for name in POLICIES if name != "half")]
)
def test_a_preview_in_the_terminal_draws_none_of_them(place, looks, monkeypatch, policy, terminal):
    pytest.importorskip("textual_image")
    monkeypatch.setenv("COLORTERM", "truecolor")
    at = ("--store", "store", "--policy", str(place.policies[policy]))
    answers = TERMINALS[terminal]
    shown = on_terminal("query", "a cat", *ANY, "--preview", *at, cwd=place.folder, answers=answers, columns=24)
    assert not [word for word in words_of(place.hidden[policy]) if word in shown.encode()]
    assert ("▀" in shown or "▄" in shown, "\x1bP" in shown, "m=1" in shown) == tuple(
        terminal == name for name in TERMINALS
    )
    tiles = {path: tiny(ImageOps.fit(Image.open(path).convert("RGB"), (288, 192))) for path in looks}
    drawn = {most_like(tiny(picture), tiles) for picture in pictures(shown, cells=(24, 8))}
    assert drawn == {path for path in place.shown(policy) if path in looks}


def test_a_move_and_a_refresh_after_it_name_none_of_them(place, tmp_path):
    folder = tmp_path / "own"
    shutil.copytree(place.folder / "photos", folder / "photos")
    library = Library(folder / "store")
    library.index(folder / "photos")
    hidden = [folder / path.relative_to(place.folder) for path in place.hidden["half"]]
    library.decide([str(path) for path in hidden], withhold=True, reason="")
    words = words_of(hidden)  # before they change
    (folder / "photos").rename(folder / "moved")
    code, said = run("move", "photos", "moved", "--store", "store", cwd=folder)
    assert (code, b"followed" in said) == (0, True)
    assert len(hidden) >= 4
    for change, path in zip(cycle(["spoiled", "changed", "renamed", "gone"]), hidden):
        now = folder / "moved" / path.relative_to(folder / "photos")
        if change == "spoiled":
            now.write_bytes(b"no photo")
        elif change == "changed":
            now.write_bytes(now.read_bytes() + b"!")
        elif change == "renamed":
            now.rename(now.with_name("new-" + now.name))
        else:
            now.unlink()
    for arguments in (
        ("query", "a cat", *ANY, "--html", "page.html"),
        ("-vv", "index", "--dry-run"),
        ("-vv", "index"),
        ("-vv", "check"),
        ("query", "a cat", *ANY, "--json"),
    ):
        code, more = run(*arguments, "--store", "store", cwd=folder)
        assert code in {0, 1, 3}, more.decode()
        said += more
    said += (folder / "page.html").read_bytes()
    assert not [word for word in words if word in said]


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["half", "all but allowed"])
def test_a_watch_that_sees_them_change_names_none_of_them(place, demo, tmp_path, policy):
    folder = tmp_path / "own"
    shutil.copytree(place.folder / "photos", folder / "photos")
    shutil.copytree(place.folder / "store", folder / "store")
    hidden = [folder / path.relative_to(place.folder) for path in place.hidden[policy]]
    words = words_of(hidden)  # before they change
    assert run("move", place.folder / "photos", folder / "photos", "--store", "store", cwd=folder)[0] == 0
    with watching(folder / "photos", "--store", folder / "store", "--policy", place.policies[policy]) as watch:
        for number, path in enumerate(hidden):  # each of the four at once: spoiled, changed, renamed, gone
            if number % 4 < 2:
                path.write_bytes(b"no photo" if number % 4 else path.read_bytes() + b"!")
            elif number % 4 == 2:
                path.rename(path.with_name(f"new-{number}{path.suffix}"))
            else:
                path.unlink()
        shutil.copyfile(demo / "test_images" / "rocket.jpg", folder / "photos" / "last.jpg")
        until(lambda: watch.has_said(" added"))
        assert watch.end() == 130
    said = "\n".join(watch.lines).encode()
    assert not [word for word in words if word in said]


def test_what_looks_for_leaks_finds_names_ids_and_pixels(place, looks):
    """With the policy off and all allowed the same ways show all: a search for leaks that finds nothing proves this."""
    hidden, at = place.hidden["half"], ("--store", "store", "--no-policy")
    _, table = run("query", "a cat", *ANY, "--json", *at, cwd=place.folder)
    assert {path.stem for path in hidden if path.parent.name == "photos"} <= set(leaks(table, hidden, looks))
    run("query", "a cat", *ANY, "--html", "all.html", *at, cwd=place.folder)
    page = (place.folder / "all.html").read_bytes()
    pixels = {f"pixels of {path.name}" for path in hidden if path in looks}
    assert pixels <= set(leaks(page, hidden, looks))
    assert len(json.loads(table.splitlines()[0])) > 1
