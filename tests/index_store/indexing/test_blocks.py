"""Blocks of photos, embedded by the process that an actor on Ray is; here without Ray, and into a folder."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from index_store import machine
from index_store.compliance.choose_photo_rule import choose_photo_rules
from index_store.compliance.policy import load_policy
from index_store.encoders.registry import encoder_card
from index_store.errors import ClusterError, EncoderError, PolicyError, StoreError, WeightsError
from index_store.indexing import blocks
from index_store.indexing.blocks import BlockEmbedder, RunSpec, blocks_of
from index_store.photos import file_system
from index_store.photos.find import find_photos
from index_store.records import EncodingJob
from index_store.store.image_store import create_store, open_store
from index_store.store.manifest import Manifest


@pytest.fixture
def spec(tmp_path, paint, monkeypatch) -> RunSpec:
    """A run over two photos, into a store that is there."""
    monkeypatch.setattr(machine, "_share", [])
    paint("photos/red.png", "red")
    paint("photos/blue.png", "blue")
    card, policy = encoder_card(), load_policy()
    create_store(str(tmp_path / "store"), Manifest(card.name, card.dimension))
    rules = choose_photo_rules(card, policy).version
    return RunSpec(str(tmp_path / "store"), {}, (str(tmp_path / "photos"),), card.name, None, rules, policy, "cpu")


@pytest.fixture
def jobs(spec) -> list[EncodingJob]:
    return [EncodingJob(file, ()) for file in find_photos(spec.roots[0]).files]


@pytest.mark.parametrize(
    ("photos", "actors", "sizes"),
    [(0, 2, []), (10, 2, [10]), (320, 2, [40] * 8), (5_000, 2, [256] * 19 + [136]), (100, 0, [32, 32, 32, 4])],
)
def test_blocks_are_large_enough_and_enough_for_all_actors(photos, actors, sizes):
    made = list(blocks_of(list(range(photos)), actors))
    assert [len(block) for block in made] == sizes
    assert [job for block in made for job in block] == list(range(photos))


def test_a_block_that_runs_twice_leaves_one_row_for_each_photo(spec, jobs):
    first, second = BlockEmbedder(spec), BlockEmbedder(spec)
    assert first.embed(jobs).encoded == 2
    before = {photo.content_hash: photo for photo in open_store(spec.place).photos()}
    assert second.embed(jobs).encoded == 2
    assert {photo.content_hash: photo for photo in open_store(spec.place).photos()} == before
    assert open_store(spec.place).count() == 2


def test_a_store_that_fails_is_waited_for_and_the_block_begins_again(spec, jobs, monkeypatch):
    """Also where an actor was started again meanwhile, and has not opened the store yet."""
    failures = [StoreError("the server is gone")] * 4
    opened = blocks.open_store

    def open_later(*arguments):
        if failures:
            raise failures.pop()
        return opened(*arguments)

    monkeypatch.setattr(blocks, "open_store", open_later)
    monkeypatch.setattr(blocks, "_POLL_SECONDS", 0)
    assert BlockEmbedder(spec).embed(jobs).encoded == 2
    assert not failures


def test_a_store_that_does_not_come_back_is_an_error(spec, jobs, monkeypatch):
    monkeypatch.setattr(blocks, "STORE_SECONDS", 0)
    with pytest.raises(StoreError, match=r"gone.*asked from"):
        BlockEmbedder(replace(spec, place=spec.place + "-gone")).embed(jobs)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"version": "0.0.1"}, ClusterError, r"the run 0\.0\.1: install the same version"),
        ({"roots": ("/no/such/folder",)}, ClusterError, "/no/such/folder: not there on "),
        ({"rules": "other"}, WeightsError, r"has other rules for photos \(.*\) than the run \(other\)"),
        ({"encoder": "imgsearch-0"}, EncoderError, "imgsearch-0"),
    ],
)
def test_a_machine_that_has_something_else_than_the_run_refuses(spec, change, error, words):
    with pytest.raises(error, match=words):
        BlockEmbedder(replace(spec, **change)).prepare()


def test_an_actor_may_read_the_buckets_that_the_user_named_and_no_others(spec, monkeypatch):
    monkeypatch.setattr(file_system, "_ALLOWED", set())
    BlockEmbedder(replace(spec, addresses=("s3://bucket/photos",))).prepare()
    assert sorted(file_system._ALLOWED) == ["s3://bucket"]


def test_a_machine_with_another_mandatory_policy_refuses(spec, tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "machine_policy", lambda: tmp_path / "policy.toml")
    BlockEmbedder(spec).prepare()
    monkeypatch.setattr(blocks, "load_policy", lambda: SimpleNamespace(digest="another"))
    with pytest.raises(PolicyError, match="is mandatory on .* and is not the policy of this run"):
        BlockEmbedder(spec).prepare()
