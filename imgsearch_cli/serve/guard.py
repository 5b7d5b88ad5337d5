"""What is answered at all: requests of our own page, to our own address, with the token where one is needed."""

from __future__ import annotations

import hmac
import ipaddress
import json
import socket
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_CONTENT_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": _CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",  # a photo that is withheld later must not lie in a browser's cache
}

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


class Guard:
    """Refuses what is not asked by our own page: other sites, other names for this machine, a missing token.

    A page of another site can make a browser send requests here, and by a name that it points to this machine (DNS
    rebinding) even read the answers. It cannot choose the headers Host, Origin and Sec-Fetch-Site, nor know the token.
    """

    def __init__(self, app: ASGIApp, port: int, host: str = "127.0.0.1", token: str | None = None) -> None:
        """Guard `app`, which listens on `host` and `port`; without a token, the loopback alone is answered for."""
        self._app = app
        self._port = port
        self._names = _LOOPBACK if token is None else {*_LOOPBACK, host.lower(), *_own_names()}
        self._token = token
        self._cookie = f"imgsearch-{port}"  # a browser gives cookies to all ports of a machine

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it; every answer gets the headers that keep other sites out."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close"})  # none is spoken here
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refused = self._refusal(scope)
        await (refused or self._app)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if not self._is_own_address(headers.getlist("host")):
            return _refused(scope, 421, "this address is not served here; use the one that 'imgsearch serve' shows")
        if not _is_own_origin(headers, scope["path"], scope["method"]):
            return _refused(scope, 403, "requests of other sites are not answered")
        return None if self._token is None else self._without_token(scope, headers)

    def _is_own_address(self, hosts: list[str]) -> bool:
        try:
            address = urlsplit(f"//{hosts[0]}") if len(hosts) == 1 else urlsplit("")
            name, port = address.hostname or "", address.port or 80
        except ValueError:
            return False
        if port != self._port or address.path or address.query or "@" in address.netloc:
            return False
        # a name can be pointed to any machine, an address cannot
        return name in self._names or (self._token is not None and _is_address(name))

    def _without_token(self, scope: Scope, headers: Headers) -> Response | None:
        assert self._token is not None
        query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        if scope["path"] == "/" and "token" in query and self._fits(query.pop("token")[-1]):
            response = RedirectResponse(f"/?{urlencode(query, doseq=True)}" if query else "/", status_code=303)
            response.set_cookie(self._cookie, self._token, httponly=True, samesite="lax")
            return response
        kind, _, bearer = headers.get("authorization", "").partition(" ")
        if self._fits(cookie_parser(headers.get("cookie", "")).get(self._cookie, "")) or (
            kind.lower() == "bearer" and self._fits(bearer.strip())
        ):
            return None
        return _refused(scope, 401, "the token is missing: open the link that 'imgsearch serve' showed when it began")

    def _fits(self, token: str) -> bool:
        return self._token is not None and hmac.compare_digest(token.encode("utf-8", "replace"), self._token.encode())


def _is_own_origin(headers: Headers, path: str, method: str) -> bool:
    """Whether the browser says that our own page asks; a link to the page may come from anywhere."""
    origin = headers.get("origin")
    if origin is not None and origin != f"http://{headers.get('host', '')}":
        return False
    site = headers.get("sec-fetch-site", "same-origin")
    follows_link = path == "/" and method == "GET" and headers.get("sec-fetch-mode") == "navigate"
    return site in {"same-origin", "none"} or follows_link


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _own_names() -> set[str]:
    name = socket.gethostname().lower()
    return {name, f"{name.partition('.')[0]}.local"}


def _refused(scope: Scope, status: int, reason: str) -> Response:
    """Return why a request is refused: a line to read on the page's address, JSON as any other error elsewhere."""
    if scope["path"] == "/":
        return PlainTextResponse(f"imgsearch: {reason}\n", status_code=status)
    return Response(json.dumps({"error": reason}), status, media_type="application/json")
