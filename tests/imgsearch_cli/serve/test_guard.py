"""Who is answered: our own page under our own address, and with --host who has the token."""

from __future__ import annotations

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from imgsearch_cli.serve.guard import HEADERS, Guard

PORT = 8765


async def app(scope, receive, send):
    await PlainTextResponse("the page")(scope, receive, send)


def client(token: str | None = None, host: str = "127.0.0.1", base: str = f"http://127.0.0.1:{PORT}") -> TestClient:
    return TestClient(Guard(app, PORT, host, token), base_url=base, follow_redirects=False)


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:8765", "LOCALHOST:8765", "[::1]:8765"])
def test_the_names_of_this_machine_are_answered(host):
    assert client().get("/", headers={"Host": host}).text == "the page"


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:8765",
        "127.0.0.1.evil.example:8765",
        "127.0.0.1:80",
        "127.0.0.1",
        "localhost:8765@evil.example",
        "evil.example@localhost:8765",
        "192.168.1.7:8765",
        "0.0.0.0:8765",
        "localhost:8765/x",
        "localhost:x",
        "[::1",
        "",
    ],
)
def test_other_names_are_refused_so_that_no_name_can_be_pointed_here(host):
    answer = client().get("/", headers={"Host": host})
    assert (answer.status_code, "the page" in answer.text) == (421, False)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": f"https://127.0.0.1:{PORT}"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": f"http://localhost:{PORT}"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    ],
)
def test_requests_that_other_sites_make_a_browser_send_are_refused(headers):
    assert client().get("/api/search?q=dog", headers=headers).status_code == 403
    assert client().post("/api/photos", content=b"x", headers=headers).status_code == 403


def test_a_link_to_the_page_may_stand_anywhere_and_our_own_origin_is_answered():
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert client().get("/?q=dog", headers=link).status_code == 200
    own = {"Origin": f"http://127.0.0.1:{PORT}", "Sec-Fetch-Site": "same-origin"}
    assert client().post("/api/photos", content=b"x", headers=own).status_code == 200


def test_every_answer_forbids_what_comes_from_elsewhere_and_is_kept_nowhere():
    for answer in (client().get("/"), client().get("/", headers={"Host": "evil.example"})):
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert HEADERS["Cache-Control"] == "no-store"
    assert "default-src 'none'" in HEADERS["Content-Security-Policy"]
    assert "http" not in HEADERS["Content-Security-Policy"]


def test_with_a_token_nothing_is_answered_without_it():
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic secret"},
        {"Cookie": "imgsearch-1=secret"},
    ):
        answer = client("secret").get("/api/search?q=dog", headers=headers)
        assert (answer.status_code, "secret" in answer.text) == (401, False)
    assert client("secret").get("/?token=wrong").status_code == 401
    assert client("secret").get("/?token=%FF").status_code == 401
    assert client("secret").get("/api/search?token=secret").status_code == 401


def test_the_link_with_the_token_leaves_a_cookie_and_no_token_in_the_address():
    page = client("secret")
    answer = page.get("/?q=a+dog&token=secret")
    assert (answer.status_code, answer.headers["location"]) == (303, "/?q=a+dog")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert page.get("/api/search?q=dog").text == "the page"
    assert client("secret").get("/", headers={"Authorization": "Bearer secret"}).text == "the page"


@pytest.mark.parametrize(
    ("host", "status"), [("192.168.1.7:8765", 200), ("[fe80::1]:8765", 200), ("evil.example:8765", 421)]
)
def test_with_a_token_addresses_are_answered_and_foreign_names_are_not(host, status):
    headers = {"Host": host, "Authorization": "Bearer secret"}
    assert client("secret", "0.0.0.0").get("/", headers=headers).status_code == status


def test_no_websocket_is_spoken():
    with pytest.raises(WebSocketDisconnect), client().websocket_connect("/"):
        pass
