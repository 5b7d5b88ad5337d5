"""The page's API under requests that no page sends: each gets one line of JSON at once, and no traceback."""

from __future__ import annotations

import json
import random
import threading
from urllib.parse import quote

import pytest

pytest.importorskip("starlette")
from starlette.testclient import TestClient

from imgsearch_cli.serve.app import make_app
from imgsearch_cli.serve.search_api import SearchApi
from index_store.photos.thumbnails import Thumbnails
from index_store.queries.live import LiveSearcher

HOME = "http://127.0.0.1:8765"
HUGE = "a" * 30_000


@pytest.fixture(scope="module")
def client(demo):
    thumbnails = Thumbnails()
    app = make_app(SearchApi(LiveSearcher(str(demo / "store")), thumbnails), 2, 8765)
    with TestClient(app, base_url=HOME) as made:
        yield made
    thumbnails.close()


def is_one_error(answer) -> bool:
    """Whether an answer is an object with one line that says what is wrong, and names no code of ours."""
    body = json.loads(answer.content)
    said = body["error"]
    return (
        set(body) == {"error"}
        and 400 <= answer.status_code < 500
        and bool(said)
        and "\n" not in said
        and len(said) < 600
        and "Traceback" not in said
        and ".py" not in said
        and "bug" not in said
    )


WRONG = [
    "",
    "q=",
    "q=%00",
    "q=%20%20",
    "q=a&k=1e3",
    "q=a&k=[]",
    "q=a&k=1.0",
    "q=a&k=%31%00",
    "q=a&k=null",
    "q=a&k=99999999999999999999",
    "q=a&after_rank=-1",
    "q=a&after_rank={}",
    "q=a&min_score=inf",
    "q=a&min_score=-1",
    "q=a&min_score=1e400",
    "q=a&min_score=true",
    "q=a&min_score=0x1",
    "q=a&after=2021-02-30",
    "q=a&after=0000",
    "q=a&after=99999",
    "q=a&before=%00",
    "q=a&before=2021-1-1-1",
    "q=a&after=2022&before=2021",
    "q=a&shape=round",
    "q=a&shape=%00",
    "q=a&in=%00",
    "q=a&in=../../../../etc",
    "q=a&in=/etc/passwd",
    "q=a&in=~root",
    "q=a&in=~nobody-such",
    "q=a&in=file:///etc/passwd",
    "q=a&in=s3://bucket/key",
    "q=a&in=http://127.0.0.1:1/x",
    "q=a&in=%FF",
    "like=..%2F..%2Fetc%2Fpasswd",
    "like=/etc/passwd",
    "like=-",
    "like=%00",
    "like=dropped-",
    "like=" + "0" * 32 + "-" + "0" * 32,
    "like=" + "%D9%A0" * 32 + "-" + "%D9%A0" * 32,
    "not=a",
    "q=a&not=%00",
    "q=a&in=/" + HUGE,
    "like=" + HUGE,
    "q=a&k=" + "9" * 30_000,
    "q=a&min_score=" + "9" * 30_000,
    "q=a&after=" + "9" * 30_000,
    "&".join(["q=a"] + ["like=x"] * 2_000),
    "&".join(["q=a"] + ["not=b"] * 17),
    "&".join(["q=a"] + ["in=/x"] * 17),
]


@pytest.mark.parametrize("asked", WRONG, ids=lambda asked: asked[:40] or "nothing")
def test_a_wrong_parameter_is_one_line_of_json(client, asked):
    assert is_one_error(client.get(f"/api/search?{asked}"))


@pytest.mark.parametrize(
    "path",
    [
        *("/api", "/api/", "/api/nothing", "/api/search/", "/api/search/x", "/api/photos", "/api/photos/"),
        *("/api/photos/%2e%2e", "/api/photos/..%2f..%2fetc%2fpasswd", "/photos/", "/photos/x", "/photos/x/huge"),
        *("/photos/%00/small", "/photos/..%2f..%2f..%2fetc%2fpasswd/small", "/photos/%2e%2e/%2e%2e/small"),
        *(
            "/photos/" + HUGE + "/small",
            "//etc/passwd",
            "/files/../app.py",
            "/files/..%2fapp.py",
            "/files/%2e%2e/guard.py",
        ),
        *("/files/%00", "/files/" + HUGE, "/files/....//app.py", "/%ff", "/docs", "/openapi.json"),
    ],
    ids=lambda path: path[:40],
)
def test_a_wrong_address_is_one_line_of_json(client, path):
    assert is_one_error(client.get(path))


@pytest.mark.parametrize("folder", ["s3://bucket/photos", "gs://bucket"])
def test_a_folder_of_object_storage_is_asked_for_by_its_address(client, folder):
    answer = client.get("/api/search", params={"q": "a", "in": folder})
    assert answer.json() == {"error": f"{folder}: no photos are indexed there"}


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
@pytest.mark.parametrize("path", ["/", "/api/search?q=a", "/api/photos", "/photos/x/small", "/files/page.js"])
def test_another_method_is_one_line_of_json(client, method, path):
    assert is_one_error(client.request(method, path))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1:1"}, 421),
        ({"Host": "127.0.0.1:8765@evil.example"}, 421),
        ({"Host": ""}, 421),
        ({"Host": "[::1"}, 421),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "https://127.0.0.1:8765"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["/api/search?q=a", "/photos/x/small"])
def test_a_request_that_is_not_our_pages_is_one_line_of_json(client, path, headers, status):
    answer = client.get(path, headers=headers)
    assert (answer.status_code, is_one_error(answer)) == (status, True)


@pytest.mark.parametrize("content", [b'{"q": "a cat"}', b"[" * 100_000, b"\0" * 100_000, b"<svg/>", b"%PDF-1.4"])
@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x", "image/jpeg", ""])
def test_a_body_that_is_no_photo_is_one_line_of_json(client, content, kind):
    assert is_one_error(client.post("/api/photos", content=content, headers={"Content-Type": kind}))


@pytest.mark.parametrize("length", ["-1", "x", "9" * 30, "1e3"])
def test_a_length_that_is_none_is_one_line_of_json(client, length):
    assert is_one_error(client.post("/api/photos", content=b"x", headers={"Content-Length": length}))


NAMES = ("q", "like", "not", "in", "after", "before", "camera", "shape", "min_score", "k", "after_rank", "token", "x")
VALUES = (
    *("", "a cat", "0", "1", "-1", "1.5", "2021", "2021-06", "portrait", "/", ".", "~", "%s%n", "\0", "\n", "\u202e"),
    *("\U0001f408", "\ud800", "'; drop table", "<script>", "{}", "[]", "null", "true", "NaN", "x" * 5_000, "dropped-x"),
)


def test_whatever_comes_is_an_answer_or_an_error_in_json(client):
    """Three hundred requests of names and values at random, the same each time."""
    chance = random.Random(15)
    errors = 0
    for _ in range(300):
        pairs = [(chance.choice(NAMES), chance.choice(VALUES)) for _ in range(chance.randrange(6))]
        query = "&".join(f"{name}={quote(value.encode('utf-8', 'surrogatepass'))}" for name, value in pairs)
        answer = client.get(f"/api/search?{query}")
        errors += answer.status_code != 200
        found = answer.json()
        assert ("matches" in found or found["withheld"]) if answer.status_code == 200 else is_one_error(answer), query
    assert 50 < errors < 300  # both kinds came


def test_more_than_may_wait_are_refused_and_the_next_is_answered(demo, monkeypatch):
    """One works, one waits, and the third is refused at once; when the first is done, all is as before."""
    from imgsearch_cli.serve import app as application

    monkeypatch.setattr(application, "_MOST_WAITING", 1)
    works, go_on = threading.Event(), threading.Event()

    class Slow(SearchApi):
        def search(self, asked):
            works.set()
            assert go_on.wait(60)
            return super().search(asked)

    thumbnails = Thumbnails()
    made = make_app(Slow(LiveSearcher(str(demo / "store")), thumbnails), 1, 8765)
    with TestClient(made, base_url=HOME) as client:
        answers: list[int] = []

        def ask() -> None:
            answers.append(client.get("/api/search?q=a").status_code)

        first, *others = (threading.Thread(target=ask) for _ in range(3))
        first.start()
        assert works.wait(60)
        for each in others:
            each.start()
        while not answers:  # of the two others one waits, the other is refused while the first still works
            others[0].join(0.01)
        assert answers == [503]
        go_on.set()
        for each in (first, *others):
            each.join(60)
        assert answers == [503, 200, 200]
        assert client.get("/api/search?q=a").status_code == 200
    thumbnails.close()
