from __future__ import annotations

import os
import re
import stat
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import pytest

from index_store.errors import PhotoError, UsageError
from index_store.pages.contact_sheet import write_page
from index_store.photos.hashing import hash_file
from index_store.photos.thumbnails import Thumbnails
from index_store.records import Answer, Match

NOTICE = "not to be shown"
HIDDEN = Match(2, 0.0, 0.0, None, None, None)


class Parsed(HTMLParser):
    """The tags of a page with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def of(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]


def match_of(path: Path, rank: int = 1, **facts: object) -> Match:
    return Match(rank, 0.75, 0.5, str(path), 32, 24, content_hash=hash_file(str(path)), **facts)


def page_of(answer: Answer, folder: Path) -> str:
    write_page(answer, str(folder / "page.html"))
    return (folder / "page.html").read_text("utf-8")


def test_a_page_has_pictures_links_scores_days_and_the_notice(paint, tmp_path):
    first, last = paint("a cat.png", "red"), paint("b.png", "blue")
    matches = (match_of(first, day=date(2021, 6, 14), copies=("/x/copy.png",)), HIDDEN, HIDDEN, match_of(last, 4))
    page = page_of(Answer("dog <b>", matches, notice=NOTICE), tmp_path)
    parsed = Parsed(page)
    assert [a["href"] for a in parsed.of("a")] == [f"file://{tmp_path}/a%20cat.png", f"file://{tmp_path}/b.png"]
    assert all((image["src"] or "").startswith("data:image/jpeg;base64,/9j/") for image in parsed.of("img"))
    assert [meter["value"] for meter in parsed.of("meter")] == ["0.7500", "0.7500"]
    assert ("2021-06-14" in page, "and 1 copy" in page, page.count(f"2 photos: {NOTICE}")) == (True, True, 1)
    assert "dog &lt;b&gt;" in page


def test_a_page_needs_nothing_from_elsewhere_and_says_so_to_the_browser(paint, tmp_path):
    parsed = Parsed(page_of(Answer("dog", (match_of(paint("a.png")),)), tmp_path))
    sources = [value or "" for _, attributes in parsed.tags for name, value in attributes.items() if name == "src"]
    assert all(source.startswith("data:") for source in sources)
    assert parsed.of("script") + parsed.of("link") == []
    policy = next(meta["content"] for meta in parsed.of("meta") if meta.get("http-equiv"))
    assert (policy or "").startswith("default-src 'none'")


def test_a_refused_answer_is_the_notice_and_an_empty_one_says_why_with_the_nearest_apart(paint, tmp_path):
    assert NOTICE in page_of(Answer("a text", notice=NOTICE, refused=True), tmp_path)
    page = page_of(Answer("a text", reason="nothing fits", nearest=(match_of(paint("a.png")),)), tmp_path)
    assert ("nothing fits" in page, len(Parsed(page).of("img"))) == (True, 1)
    assert [item.get("class") for item in Parsed(page).of("li")] == ["unlikely"]


def test_a_photo_in_object_storage_is_named_and_has_no_link(paint, tmp_path, monkeypatch):
    place, content = "s3://bucket/a photo.jpg", hash_file(str(paint("a.png")))
    monkeypatch.setattr(Thumbnails, "jpeg", lambda self, content, paths, side: b"\xff\xd8")
    parsed = Parsed(page_of(Answer("dog", (Match(1, 0.75, 0.5, place, 32, 24, content_hash=content),)), tmp_path))
    assert parsed.of("a") == [{"title": place}]
    assert [image["alt"] for image in parsed.of("img")] == ["a photo.jpg"]


@pytest.mark.parametrize(
    "name", ['"><script>alert(1)</script>.png', "a&amp;'b.png", "\udcff.png", "\u202egnp.png", "a\nb.png"]
)
def test_names_of_any_kind_do_no_harm(paint, tmp_path, name):
    folder = tmp_path / "odd"
    folder.mkdir()
    path = folder / name.replace("/", "_")
    os.rename(paint("a.png"), path)
    page = page_of(Answer("dog", (match_of(path),)), tmp_path)
    parsed = Parsed(page)
    assert parsed.of("script") == []
    assert len(parsed.of("img")) == 1
    assert not re.search("[\u202e\udcff]", page)


def test_a_photo_that_was_replaced_since_it_was_indexed_is_not_shown(paint, tmp_path):
    match = match_of(paint("a.png", "red"))
    paint("a.png", "blue")
    page = page_of(Answer("dog", (match,)), tmp_path)
    assert (Parsed(page).of("img"), "no longer there, or changed" in page) == ([], True)
    with pytest.raises(PhotoError, match="has changed since it was indexed"):
        match.open()


def test_only_our_own_pages_are_replaced(paint, tmp_path):
    photo = paint("a.png")
    before = photo.read_bytes()
    with pytest.raises(UsageError, match="is no page of imgsearch; name another file"):
        write_page(Answer("dog"), str(photo))
    assert photo.read_bytes() == before
    page = tmp_path / "page.html"
    write_page(Answer("dog"), str(page))
    write_page(Answer("cat"), str(page))
    assert "cat" in page.read_text("utf-8")
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    page.write_bytes(b"")
    write_page(Answer("dog"), str(page))  # an empty file holds nothing that could be lost


def test_what_cannot_be_written_is_said_in_a_line(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path, tmp_path / "none" / "page.html", tmp_path / "pipe"):
        with pytest.raises(UsageError, match=re.escape(str(place))):
            write_page(Answer("dog"), str(place))


def test_an_answer_counts_and_gives_the_photos_that_are_shown_and_is_true_without_any(paint):
    match = match_of(paint("a.png", "red", (40, 20)))
    answer = Answer("dog", (match, HIDDEN), notice=NOTICE)
    assert (len(answer), list(answer), bool(Answer("dog"))) == (1, [match], True)
    assert (match.path, match.paths, HIDDEN.path, HIDDEN.paths) == (match.image_id, (match.image_id,), None, ())
    picture = match.open()
    assert (picture.size, picture.mode) == ((40, 20), "RGB")
    assert NOTICE in answer._repr_html_()
    assert "<html" not in answer._repr_html_()
    with pytest.raises(PhotoError, match="withheld"):
        HIDDEN.open()
