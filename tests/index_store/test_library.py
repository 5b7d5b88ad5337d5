"""A library with the real models: what a store says of itself, and what people decided, when photos are asked for."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from index_store.compliance.decisions import HandDecisions
from index_store.encoders.registry import DEFAULT_ENCODER, encoder_card
from index_store.errors import EncoderError, StoreError, UsageError
from index_store.library import Library
from index_store.photos.places import Place
from index_store.queries.ask import Searcher
from index_store.records import BY_HAND, IndexedRoot
from index_store.store.encoder_collections import encoders_in
from index_store.store.image_store import create_store, open_store
from index_store.store.lock import writing
from index_store.store.manifest import Manifest
from tests.demo_photos import main as copy_demo_photos


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("library")
    copy_demo_photos(str(folder / "photos"))
    Library(str(folder / "store")).index([Place(str(folder / "photos"))])
    return folder


@pytest.fixture
def library(made, tmp_path) -> Library:
    """A library of the demo's photos, which lie where they were indexed; its store is a copy."""
    shutil.copytree(made / "store", tmp_path / "store")
    return Library(str(tmp_path / "store"))


def shown(library: Library, query: str = "a cat") -> set[str]:
    matches = Searcher(library.place).ask(query, k=100, min_score=0).matches
    return {Path(path).name for match in matches if match.image_id for path in (match.image_id, *match.copies)}


def row_of(library: Library, name: str):
    photos = open_store(library.place, encoder_card().name).photos()
    [row] = [photo for photo in photos if name in {Path(path).name for path in photo.paths}]
    return row


def tamper(library: Library, name: str, **verdict: object) -> None:
    row = row_of(library, name)
    open_store(library.place).update([replace(row, verdict=replace(row.verdict, **verdict))])


def test_a_verdict_of_another_rule_counts_for_nothing(library):
    hidden = {Path(photo.image_id).name for photo in library.withheld()}
    assert hidden and not hidden & shown(library)
    name = sorted(hidden)[0]
    tamper(library, name, withheld=False, probability=0.0, rule="a-rule-of-somebody")
    assert name not in shown(library)
    tamper(library, name, withheld=False, probability=0.0, rule=BY_HAND)  # which no decision in the log bears out
    assert name not in shown(library)


def test_the_verdict_of_another_rule_does_not_hide_a_harmless_photo_either(library):
    name = sorted(shown(library))[0]
    tamper(library, name, withheld=True, probability=1.0, rule="a-rule-of-somebody")
    assert name in shown(library)


@pytest.fixture
def own(made, tmp_path) -> tuple[Library, Path]:
    """A library of a few photos that a test may change."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("chelsea.png", "coffee.png", "rocket.jpg"):
        shutil.copyfile(made / "photos" / name, folder / name)
    library = Library(str(tmp_path / "store"))
    library.index([Place(str(folder))])
    library.decide([str(folder)], withhold=False, reason="a test")
    return library, folder


def altered(source: Path, how: str) -> Path:
    target = source.with_name(f"{how}-{source.name}")
    if how == "byte":
        target.write_bytes(source.read_bytes() + b"!")
        return target
    picture = Image.open(source).convert("RGB")
    if how == "smaller":
        picture = picture.resize((picture.width * 9 // 10, picture.height * 9 // 10))
    target = target.with_suffix(".jpg")
    picture.save(target, quality=75 if how == "quality" else 92)
    return target


@pytest.mark.parametrize("how", ["byte", "quality", "smaller"])
@pytest.mark.parametrize("copy_first", [True, False])
def test_an_altered_copy_of_a_photo_withheld_by_hand_is_withheld_with_it(own, how, copy_first):
    library, folder = own
    original = folder / "rocket.jpg"
    if copy_first:
        copy = altered(original, how)
        library.index()
    assert library.decide([str(original)], withhold=True, reason="asked for") == 1
    if not copy_first:
        copy = altered(original, how)
        library.index()
    assert not {original.name, copy.name} & shown(library)
    assert {"coffee.png", "chelsea.png"} <= shown(library)
    reasons = {Path(photo.image_id).name: photo.verdict.reason for photo in library.withheld()}
    assert reasons[copy.name].startswith("looks equal to a photo withheld by ")

    library.decide([str(copy)], withhold=False, reason="this one is cropped")  # what is said of it itself wins
    assert shown(library) >= {copy.name} and original.name not in shown(library)


def test_allowing_the_photo_again_frees_its_altered_copies(own):
    library, folder = own
    copy = altered(folder / "chelsea.png", "byte")
    library.index()
    library.decide([str(folder / "chelsea.png")], withhold=True, reason="")
    assert copy.name not in shown(library)
    library.decide([str(folder / "chelsea.png")], withhold=False, reason="an error")
    verdict = row_of(library, copy.name).verdict
    assert (verdict.near, "rule for photos" in verdict.reason) == ("", True)


def test_a_decision_is_about_the_file_that_is_there_now(own):
    library, folder = own
    cat = folder / "chelsea.png"
    shutil.copyfile(folder / "coffee.png", cat)
    for withhold in (True, False):
        with pytest.raises(UsageError, match="is not the photo that was indexed, its content has changed; run"):
            library.decide([str(cat)], withhold=withhold, reason="")
    cat.unlink()
    with pytest.raises(UsageError, match=r"chelsea\.png: no such file or directory; nothing was changed"):
        library.decide([str(cat)], withhold=False, reason="")
    assert library.decide([str(cat)], withhold=True, reason="") == 1
    assert len(library.decisions()) == 4


def test_decisions_and_forgetting_reach_the_photos_of_every_encoder(own):
    library, folder = own
    rows = [row_of(library, name) for name in ("chelsea.png", "coffee.png")]
    other = create_store(library.place, Manifest("another", 2))
    other.upsert(rows, np.eye(2, dtype="float32"))
    library.decide([str(folder / "chelsea.png")], withhold=True, reason="")
    assert [photo.verdict.withheld for photo in open_store(library.place, "another").withheld(0.99)] == [True]
    assert library.forget([str(folder / "chelsea.png")]) == 1
    assert [Path(photo.image_id).name for photo in open_store(library.place, "another").photos()] == ["coffee.png"]


def test_a_foreign_store_does_not_decide_what_a_refresh_reads(own, monkeypatch):
    library, folder = own
    monkeypatch.setattr("index_store.store.seals._key", lambda: b"k" * 32)  # as for another user
    with pytest.raises(UsageError, match="photos was indexed by another user or on another machine"):
        library.index()
    (folder / "rocket.jpg").unlink()
    assert library.index([Place(str(folder))]).removed == 1
    create_store(library.place, Manifest(encoder_card().name, encoder_card().dimension))
    monkeypatch.setattr("index_store.store.seals._key", lambda: b"l" * 32)
    open_store(library.place).set_roots([IndexedRoot(str(folder.parent), "2026-01-01T00:00:00+00:00", 1)])
    report = library.index()
    assert [(skip.path, skip.reason[:31]) for skip in report.skipped] == [
        (str(folder), "was indexed by another user or ")
    ]


def test_photos_do_not_go_into_a_second_collection_in_silence(made, tmp_path):
    place = str(tmp_path / "store")
    create_store(place, Manifest(f"{DEFAULT_ENCODER}-00000000", 512))
    with pytest.raises(
        StoreError, match="came with another version of imgsearch: run 'imgsearch index' without a PATH"
    ):
        Library(place).index([Place(str(made / "photos"))])
    assert encoders_in(place) == [f"{DEFAULT_ENCODER}-00000000"]
    other = str(tmp_path / "other")
    create_store(other, Manifest("somebodys-clip", 512))
    with pytest.raises(EncoderError, match="built with the encoder somebodys-clip, which is not known on this machine"):
        Library(other).index([Place(str(made / "photos"))])
    assert encoders_in(other) == ["somebodys-clip"]


def test_the_photos_of_an_earlier_encoder_go_when_all_roots_are_embedded_again(own, tmp_path):
    library, folder = own
    earlier = create_store(library.place, Manifest(f"{DEFAULT_ENCODER}-00000000", 2))
    earlier.upsert([row_of(library, "chelsea.png")], np.eye(2, dtype="float32")[:1])
    assert Searcher(library.place).ask("a cat", min_score=0).warnings == (
        "the photos are being embedded again, 3 so far; 'imgsearch index' completes it",
    )
    library.index([Place(str(folder))])
    assert len(encoders_in(library.place)) == 2
    folder.rename(tmp_path / "away")
    library.index()  # the root is not there: nothing is complete
    assert len(encoders_in(library.place)) == 2
    (tmp_path / "away").rename(folder)
    library.index()
    assert encoders_in(library.place) == [encoder_card().name]


@pytest.mark.parametrize("name", ["/tmp/encoder", "./encoder", "../encoder", "encoder"])
def test_a_stores_word_never_opens_a_folder(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "encoder").mkdir()
    place = str(tmp_path / "store")
    store = create_store(place, Manifest(name, 2))
    assert store.count() == 0
    with pytest.raises(EncoderError, match="is not known on this machine: name its folder with --encoder"):
        Searcher(place).ask("a cat")
    with pytest.raises(EncoderError, match="is not known on this machine"):
        Library(place).index([Place(str(tmp_path))])


def test_copies_are_one_match_that_names_them_all(own):
    library, folder = own
    for name in ("copy-1.png", "copy-2.png"):
        shutil.copyfile(folder / "chelsea.png", folder / name)
    library.index()
    assert library.status().photos == 5
    [match] = Searcher(library.place).ask("a cat", k=1, min_score=0).matches
    names = [Path(path).name for path in (match.image_id, *match.copies)]
    assert (names, match.missing) == (["chelsea.png", "copy-1.png", "copy-2.png"], False)
    (folder / "chelsea.png").unlink()
    [match] = Searcher(library.place).ask("a cat", k=1, min_score=0).matches
    assert (Path(match.image_id).name, match.missing) == ("copy-1.png", False)  # what is there now comes first
    shutil.rmtree(folder)
    [match] = Searcher(library.place).ask("a cat", k=1, min_score=0).matches
    assert match.missing


def test_a_stricter_verdict_on_another_frame_outlives_a_new_rule(library):
    name = sorted(shown(library))[0]
    row = row_of(library, name)
    stricter = replace(row.verdict, withheld=True, probability=0.9, rule="rule-before", reason="frame 3 of four")
    open_store(library.place).update([replace(row, verdict=stricter, pictures=4)])
    assert name not in shown(library)
    library.index()
    assert row_of(library, name).verdict.probability == 0.9
    assert name not in shown(library)


def test_a_library_searches_what_it_indexed_and_what_it_indexed_since(own, made):
    library, folder = own
    library = Library(Path(library.place))  # a path as well as a text
    first = library.search("a cup of coffee", k=1, min_score=0)
    assert [Path(match.image_id).name for match in first.matches] == ["coffee.png"]
    (again,) = Searcher(library.place).ask("a cup of coffee", k=1, min_score=0).matches
    # files that were written a moment ago are searched by Chroma, which rounds a similarity in another way
    near = {"score": pytest.approx(again.score, abs=1e-5), "similarity": pytest.approx(again.similarity, abs=1e-5)}
    assert first.matches == (replace(again, **near),)
    shutil.copyfile(made / "photos" / "rocket.jpg", folder / "again.jpg")
    assert library.forget([str(folder / "coffee.png")]) == 1
    left = library.search("a cup of coffee", k=100, min_score=0).matches
    assert {Path(match.image_id).name for match in left} == {"chelsea.png", "rocket.jpg"}
    library.index()
    again = library.search("a rocket", k=1, min_score=0).matches[0]
    assert {Path(path).name for path in (again.image_id, *again.copies)} == {"again.jpg", "rocket.jpg"}


def test_another_writer_is_no_reason_to_fail_a_run_that_is_done(own):
    library, _ = own
    with writing(library.place):
        library.give_space_back()


def test_decisions_are_unpacked_once_for_each_state_of_the_log(own, monkeypatch):
    library, folder = own
    library.decide([str(folder / "chelsea.png")], withhold=True, reason="")
    searcher, made = Searcher(library.place), []
    monkeypatch.setattr(
        "index_store.queries.ask.HandDecisions", lambda *arguments: made.append(arguments) or HandDecisions(*arguments)
    )
    for query in ("a cat", "a cup", "a rocket"):
        assert searcher.ask(query, min_score=0).matches
    assert len(made) == 1
    library.decide([str(folder / "coffee.png")], withhold=True, reason="")
    shown_now = {match.image_id for match in searcher.ask("a cup", min_score=0).matches}
    assert (len(made), str(folder / "coffee.png") in shown_now) == (2, False)
