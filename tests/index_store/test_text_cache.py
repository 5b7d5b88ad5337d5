from __future__ import annotations

import sqlite3

import numpy as np

from index_store.text_cache import CACHE_FILE, TextCache

ROW = np.asarray([0.6, 0.8], dtype=np.float32)


def test_what_was_put_comes_back_for_the_same_encoder_only(tmp_path):
    TextCache(tmp_path).put("e1", "dog", ROW)
    again = TextCache(tmp_path)
    assert np.array_equal(again.get("e1", "dog", 2), ROW)
    assert again.get("e2", "dog", 2) is None
    assert again.get("e1", "dogs", 2) is None
    assert again.get("e1", "dog", 3) is None


def test_it_stays_bounded_and_keeps_the_newest(tmp_path):
    cache = TextCache(tmp_path, max_texts=20)
    for i in range(100):
        cache.put("e", f"text {i}", ROW)
        assert cache.get("e", f"text {i}", 2) is not None
    count = sqlite3.connect(tmp_path / CACHE_FILE).execute("SELECT COUNT(*) FROM texts").fetchone()[0]
    assert count <= 20


def test_texts_are_not_written_down(tmp_path):
    TextCache(tmp_path).put("e", "a very private wish", ROW)
    assert b"private" not in (tmp_path / CACHE_FILE).read_bytes()


def test_a_damaged_or_missing_cache_is_an_empty_one(tmp_path):
    (tmp_path / CACHE_FILE).write_bytes(b"no database" * 100)
    cache = TextCache(tmp_path)
    cache.put("e", "dog", ROW)
    assert cache.get("e", "dog", 2) is None
    nowhere = TextCache(tmp_path / "nowhere")
    nowhere.put("e", "dog", ROW)
    assert nowhere.get("e", "dog", 2) is None
