"""What `--open` gives to the viewer; the rest of seeing is in tests/end_to_end/test_seeing.py."""

from __future__ import annotations

import click

from imgsearch_cli.picture_output import _open
from index_store.photos.hashing import hash_file
from index_store.records import Answer, Match


def test_a_photo_in_object_storage_is_not_given_to_the_viewer_but_its_copy_on_the_disk_is(paint, monkeypatch, capsys):
    opened: list[str] = []
    monkeypatch.setattr(click, "launch", lambda path: opened.append(path) or 0)
    path = str(paint("a.png"))
    alone = Match(1, 0.75, 0.5, "s3://bucket/a.png", 32, 24, content_hash=hash_file(path))
    both = Match(2, 0.5, 0.5, "s3://bucket/b.png", 32, 24, content_hash=hash_file(path), copies=(path,))
    _open(Answer("dog", (alone, both)), None)
    assert opened == [path]
    assert "s3://bucket/a.png: lies in object storage" in capsys.readouterr().err
