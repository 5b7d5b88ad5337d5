from __future__ import annotations

import sqlite3

import numpy as np
import pytest

from index_store.queries.text_cache import CACHE_FILE, TextCache

ROW = np.asarray([0.6, 0.8], dtype=np.float32)


def rows(folder) -> list[tuple[bytes, bytes]]:
    return sqlite3.connect(folder / CACHE_FILE).execute("SELECT key, embedding FROM texts").fetchall()


def test_what_was_put_comes_back_for_the_same_encoder_only(tmp_path):
    TextCache(tmp_path).put("e1", "dog", ROW)
    again = TextCache(tmp_path)
    assert np.array_equal(again.get("e1", "dog", 2), ROW)
    assert again.get("e2", "dog", 2) is None
    assert again.get("e1", "dogs", 2) is None
    assert again.get("e1", "dog", 3) is None


def test_it_stays_bounded_and_keeps_the_newest(tmp_path):
    cache = TextCache(tmp_path, max_texts=20)
    for i in range(50):
        cache.put("e", f"text {i}", ROW)
        assert cache.get("e", f"text {i}", 2) is not None
    assert len(rows(tmp_path)) <= 20


def test_neither_a_text_nor_its_embedding_is_written_down(tmp_path):
    wishes = ["a very private wish", "a very private wisp"]
    for wish in wishes:
        TextCache(tmp_path).put("e", wish, np.tile(ROW, 100))
    content = (tmp_path / CACHE_FILE).read_bytes()
    assert b"private" not in content
    assert ROW.tobytes() not in content
    (_, first), (_, second) = rows(tmp_path)
    # equal embeddings are stored as noise that has nothing in common
    equal = np.mean(np.frombuffer(first, np.uint8) == np.frombuffer(second, np.uint8))
    assert equal < 0.05
    assert 100 < np.frombuffer(first, np.uint8).mean() < 155


def test_two_caches_know_the_same_text_by_other_keys(tmp_path):
    for name in ("one", "two"):
        TextCache(tmp_path / name).put("e", "dog", ROW)
    [(key, row)], [(other_key, other_row)] = rows(tmp_path / "one"), rows(tmp_path / "two")
    assert key != other_key
    assert row != other_row


def test_the_file_is_its_owners_alone(tmp_path):
    TextCache(tmp_path / "cache").put("e", "dog", ROW)
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "cache" / CACHE_FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"no database" * 100, b""], ids=["text", "empty"])
def test_a_damaged_or_missing_cache_is_an_empty_one(tmp_path, content):
    (tmp_path / CACHE_FILE).write_bytes(content)
    cache = TextCache(tmp_path)
    assert cache.get("e", "dog", 2) is None
    cache.put("e", "dog", ROW)
    nowhere = TextCache(tmp_path / CACHE_FILE / "nowhere")
    nowhere.put("e", "dog", ROW)
    assert nowhere.get("e", "dog", 2) is None


@pytest.mark.parametrize("target_exists", [True, False])
def test_no_link_is_followed(tmp_path, target_exists):
    TextCache(tmp_path / "theirs").put("e", "dog", ROW)
    target = tmp_path / "theirs" / (CACHE_FILE if target_exists else "nothing")
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / CACHE_FILE).symlink_to(target)
    cache = TextCache(tmp_path / "ours")
    cache.put("e", "cat", ROW)
    assert cache.get("e", "dog", 2) is None
    assert len(rows(tmp_path / "theirs")) == 1
    assert target.exists() == target_exists
