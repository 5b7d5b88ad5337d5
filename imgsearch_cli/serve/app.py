"""The web application: addresses, limits, and errors as lines of JSON."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import anyio
from anyio import CapacityLimiter, to_thread
from jinja2 import Environment, FileSystemLoader
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from imgsearch_cli.serve.dropped import MOST_BYTES
from imgsearch_cli.serve.guard import Guard
from imgsearch_cli.serve.search_api import SearchApi
from index_store import __version__
from index_store.errors import ImgsearchError, UsageError

_LOG = logging.getLogger(__name__)
_HERE = Path(__file__).parent
_BODY_SECONDS = 60.0
_MOST_WAITING = 256
_LONGEST_REASON = 500
"""Characters of an error: it may quote what was sent, which may have thousands."""

Result = TypeVar("Result")
Endpoint = Callable[[Request], Awaitable[Response]]


class Slots:
    """Runs blocking work in threads, a few at once; where too many wait already, it is refused."""

    def __init__(self, at_once: int) -> None:
        """Name how many may run at the same time."""
        self._limiter = CapacityLimiter(at_once)

    async def run(self, request: Request, work: Callable[..., Result], *arguments: Any, **options: Any) -> Result:
        """Run `work`, unless the browser has lost its interest while it waited: whoever types asks at each letter.

        Raises:
            HTTPException: too many wait, or nobody waits for this any more.
        """
        if self._limiter.statistics().tasks_waiting >= _MOST_WAITING:
            raise HTTPException(503, "too many requests at once; try again", headers={"Retry-After": "1"})
        async with self._limiter:
            if await request.is_disconnected():
                raise HTTPException(499)
            return await to_thread.run_sync(partial(work, *arguments, **options), limiter=CapacityLimiter(1))


def make_app(api: SearchApi, workers: int, port: int, host: str = "127.0.0.1", token: str | None = None) -> ASGIApp:
    """Return the application for a store, as it is served on `host` and `port`."""
    template = Environment(loader=FileSystemLoader(_HERE), autoescape=True).get_template("page.html")
    searches, pictures = Slots(workers), Slots(workers)

    async def page(request: Request) -> Response:
        overview = await searches.run(request, api.overview)
        return HTMLResponse(template.render(version=__version__, **overview))

    async def search(request: Request) -> Response:
        return _json(await searches.run(request, api.search, request.query_params))

    async def drop(request: Request) -> Response:
        return _json(await searches.run(request, api.drop, await _body(request)))

    async def facts(request: Request) -> Response:
        found = await searches.run(request, api.facts, request.path_params["photo_id"])
        return _not_there() if found is None else _json(found)

    async def picture(request: Request, *, large: bool) -> Response:
        made = await pictures.run(request, api.picture, request.path_params["photo_id"], large=large)
        return _not_there() if made is None else Response(made, media_type="image/jpeg")

    async def small(request: Request) -> Response:
        return await picture(request, large=False)

    async def large(request: Request) -> Response:
        return await picture(request, large=True)

    routes = [
        Route("/", _answering(page)),
        Route("/api/search", _answering(search)),
        Route("/api/photos", _answering(drop), methods=["POST"]),
        Route("/api/photos/{photo_id}", _answering(facts)),
        Route("/photos/{photo_id}/small", _answering(small)),
        Route("/photos/{photo_id}/large", _answering(large)),
        Mount("/files", StaticFiles(directory=_HERE / "files")),
    ]
    handlers: Any = {HTTPException: _explained}
    return Guard(Starlette(routes=routes, exception_handlers=handlers, lifespan=_lifespan), port, host, token)


@asynccontextmanager
async def _lifespan(_app: Starlette) -> AsyncIterator[None]:
    to_thread.current_default_thread_limiter().total_tokens = 8
    yield


def _answering(endpoint: Endpoint) -> Endpoint:
    """Make a line of what goes wrong; neither answer nor log has more of it, since it may name a photo."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except UsageError as error:
            return _error(400, str(error))
        except ImgsearchError as error:
            return _error(503, str(error))
        except (HTTPException, ClientDisconnect):
            raise
        except Exception as error:
            _LOG.warning("a request failed: %s", type(error).__name__)
            _LOG.debug("", exc_info=error)
            return _error(500, "this is a bug; 'imgsearch -vv serve' shows more")

    return answer


async def _body(request: Request) -> bytes:
    """Return the body, as far as it may be large and slow.

    Raises:
        HTTPException: it is too large, or takes too long.
    """
    too_large = HTTPException(413, f"a photo may have {MOST_BYTES >> 20} MiB here")
    length = request.headers.get("content-length", "0")
    if not length.isdigit() or len(length) > 18 or int(length) > MOST_BYTES:
        raise too_large
    content = bytearray()
    try:
        with anyio.fail_after(_BODY_SECONDS):
            async for part in request.stream():
                content += part
                if len(content) > MOST_BYTES:
                    raise too_large
    except TimeoutError as error:
        raise HTTPException(408, "the photo took too long to arrive") from error
    return bytes(content)


def _json(content: object, status_code: int = 200, headers: dict[str, str] | None = None) -> Response:
    # in ASCII: a name of a file may hold bytes that are no UTF-8
    return Response(json.dumps(content), status_code, headers, "application/json")


def _not_there() -> Response:
    return _error(404, "there is no such photo")


def _error(status: int, reason: str, headers: dict[str, str] | None = None) -> Response:
    if len(reason) > _LONGEST_REASON:
        half = _LONGEST_REASON // 2
        reason = f"{reason[:half]} ... {reason[-half:]}"
    return _json({"error": reason}, status, headers)


async def _explained(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _error(error.status_code, error.detail, dict(error.headers or {}))
