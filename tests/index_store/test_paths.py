from __future__ import annotations

import os
import subprocess
import sys

import pytest

from index_store.errors import StoreError
from index_store.paths import (
    NO_HOME,
    default_store,
    is_there,
    named_store,
    prepare_home,
    shown_place,
    without_access,
)

SHOWN = [
    ("http://user:secret@host:8000", "http://***@host:8000"),
    ("https://user:se@cr:et@host", "https://***@host"),
    ("http://user:se/cret@host:8000/path", "http://***@host:8000/path"),
    ("http://host:8000?token=secret", "http://host:8000"),
    ("http://host/#secret", "http://host/"),
    ("HTTP://user:secret@host", "HTTP://***@host"),
    ("ftp://user:secret@host", "ftp://***@host"),
    ("http:/user:secret@host", "http:/***@host"),
    ("http://[::1:secret@host", "http://***@host"),
    ("http://user:sec\nret@host", "http://***@host"),
    ("http://host:8000", "http://host:8000"),
    ("/photos/a@b/store?", "/photos/a@b/store?"),
]


@pytest.mark.parametrize(("place", "shown"), SHOWN)
def test_no_message_shows_a_password(place, shown):
    assert shown_place(place) == shown
    assert "secret" not in shown


QUOTED = [
    ("Client error for url 'http://ann:secret@host:8000/api'", "Client error for url 'http://***@host:8000/api'"),
    ("http://ann:s@e:cret@host failed, ask ops@corp.example", "http://***@host failed, ask ops@corp.example"),
    ("from http://host/a to https://b:secret@c", "from http://host/a to https://***@c"),
    ("http://host:8000/x refused mail for ann@b", "http://host:8000/x refused mail for ann@b"),
    ("/photos/ann@home: no such file", "/photos/ann@home: no such file"),
]


@pytest.mark.parametrize(("text", "shown"), QUOTED)
def test_no_quoted_address_shows_a_password(text, shown):
    assert without_access(text) == shown


@pytest.mark.parametrize("named", ["~/photos.store", "~"])
def test_a_tilde_means_home(monkeypatch, named):
    monkeypatch.setenv("HOME", "/home-of-ann")
    assert named_store(named) == named.replace("~", "/home-of-ann")
    monkeypatch.setenv("IMGSEARCH_STORE", named)
    assert named_store(None) == default_store() == named.replace("~", "/home-of-ann")


def test_the_address_of_a_server_has_no_home():
    assert named_store("http://host:8000/~ann") == "http://host:8000/~ann"


@pytest.mark.parametrize("home", ["", None, NO_HOME])
def test_without_a_home_the_default_store_is_refused_and_no_folder_is_called_tilde(monkeypatch, home):
    for name in ("IMGSEARCH_STORE", "XDG_DATA_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    if home is not None:
        monkeypatch.setenv("HOME", home)
    monkeypatch.setattr("pwd.getpwuid", lambda _: (_ for _ in ()).throw(KeyError("no such user")))
    prepare_home()
    assert os.environ["HOME"] == NO_HOME
    with pytest.raises(StoreError, match="has no home folder; name a store with --store or IMGSEARCH_STORE"):
        default_store()
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert default_store() == "/data/imgsearch/store"


def test_an_empty_home_is_that_of_the_user(monkeypatch):
    monkeypatch.setenv("HOME", "")
    prepare_home()
    assert "HOME" not in os.environ


def test_what_is_not_there_is_told_from_what_may_not_be_seen(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    assert is_there(str(tmp_path / "file"))
    for name in ("nowhere", "nowhere/deeper", "file/deeper", "dangling"):
        assert not is_there(str(tmp_path / name))


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can become another user")
def test_a_folder_that_may_not_be_entered_is_an_error(tmp_path):
    (tmp_path / "closed").mkdir(mode=0o700)
    path = str(tmp_path / "closed" / "x")
    script = f"import os\nfrom index_store.paths import is_there\nos.setuid(12345)\nis_there({path!r})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "PermissionError" in done.stderr
