"""Run the page's server on uvicorn until Ctrl-C."""

from __future__ import annotations

import secrets
import socket
import webbrowser
from contextlib import suppress
from pathlib import Path
from threading import Thread, Timer

import uvicorn

from imgsearch_cli import exits
from imgsearch_cli.output import write_line
from imgsearch_cli.serve.app import make_app
from imgsearch_cli.serve.search_api import SearchApi
from imgsearch_cli.streams import say
from index_store.errors import ImgsearchError, UsageError, os_reason
from index_store.machine import usable_workers
from index_store.photos.thumbnails import Thumbnails
from index_store.queries.live import LiveSearcher

_LOOPBACK = "127.0.0.1"
_MOST_CONNECTIONS = 300
_MOST_HEADER_BYTES = 32 << 10
_LEAVING_SECONDS = 2


def serve_page(
    store: str | None,
    encoder: str | None,
    policy_file: Path | None,
    host: str | None,
    port: int,
    language: str | None = None,
    *,
    open_page: bool,
) -> int:
    """Serve until Ctrl-C and return the exit code; the page's address is written to standard output.

    Raises:
        UsageError: nothing can listen there.
        ImgsearchError: there is no store, or a model is missing: nothing was served.
    """
    listening = _listening(host or _LOOPBACK, port)
    live = LiveSearcher(store, encoder, policy_file, language)
    with live.use() as searcher:
        searcher.ask("a photo")  # what is missing is said now, and the models are warm
    Thread(target=_warm_up, args=[live], daemon=True).start()
    workers = usable_workers()
    thumbnails = Thumbnails(workers)
    port = listening.getsockname()[1]
    token = secrets.token_urlsafe(24) if host else None
    app = make_app(SearchApi(live, thumbnails), workers, port, host or _LOOPBACK, token)
    link = _link(host or _LOOPBACK, port, token)
    write_line(link)
    say("imgsearch: Ctrl-C ends it")
    if open_page:
        Timer(0.5, webbrowser.open, [link]).start()
    try:
        _run(app, listening)
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    finally:
        thumbnails.close()
        listening.close()
    return exits.FOUND


def _run(app: object, listening: socket.socket) -> None:
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
        http="h11",  # the one that bounds the headers
        h11_max_incomplete_event_size=_MOST_HEADER_BYTES,
        ws="none",
        log_config=None,
        log_level="critical",  # what people search for, and paths, stay out of logs
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_graceful_shutdown=_LEAVING_SECONDS,
    )
    uvicorn.Server(config).run(sockets=[listening])


def _warm_up(live: LiveSearcher) -> None:
    """Load what judges texts that speak of people, which takes seconds; whoever asks first would wait for it."""
    with suppress(ImgsearchError), live.use() as searcher:
        searcher.ask("a kid")  # refused, and so neither searched nor kept


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise UsageError(
            f"{host}:{port}: cannot listen there: {os_reason(error)}; name another --port or --host"
        ) from error


def _link(host: str, port: int, token: str | None) -> str:
    """Return the address of the page; who listens everywhere is reached by the machine's name."""
    name = socket.gethostname() if host in {"0.0.0.0", "::"} else host
    shown = f"[{name}]" if ":" in name else name
    return f"http://{shown}:{port}/" + (f"?token={token}" if token else "")
