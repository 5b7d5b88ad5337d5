from __future__ import annotations

import pytest

from imgsearch_cli.serve.photo_ids import PhotoIds

CONTENT = "0123456789abcdef0123456789abcdef"


def test_an_id_names_its_content_also_after_a_new_start():
    assert PhotoIds().content_of(PhotoIds().of(CONTENT)) == CONTENT


@pytest.mark.parametrize(
    "photo_id", ["", CONTENT, f"{CONTENT}-{CONTENT}", "../../etc/passwd", "/tmp/a.jpg", f"{CONTENT}-" + "é" * 32]
)
def test_who_has_a_photo_cannot_ask_whether_it_is_there(photo_id):
    assert PhotoIds().content_of(photo_id) is None


def test_where_no_key_can_be_kept_ids_hold_for_one_process(monkeypatch):
    monkeypatch.setattr("imgsearch_cli.serve.photo_ids.seal", lambda *facts: "")
    ids = PhotoIds()
    assert ids.content_of(ids.of(CONTENT)) == CONTENT
    assert PhotoIds().content_of(ids.of(CONTENT)) is None
