"""The page of `imgsearch serve` in a real Chromium, which Debian's package brings; skipped where it is not installed.

With IMGSEARCH_SCREENSHOTS=FOLDER each test leaves a picture of what was seen there.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
from pathlib import Path

import pytest

from tests.end_to_end.conftest import NOTICE
from tests.end_to_end.serving import serving
from tests.end_to_end.test_no_leak import place, secret  # noqa: F401  (place is a fixture)

pytestmark = pytest.mark.slow
playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
expect = playwright.expect
expect.set_options(timeout=20_000)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 320, "height": 640}


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        # the sandbox needs rights that containers lack, and the page is our own
        started = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def served(place):  # noqa: F811
    """Twelve photos, six of which are withheld by hand."""
    with serving(place / "store", cwd=place) as client:
        yield client.link


@pytest.fixture
def visit(browser, served, request):
    """Return a function that opens the page; at the end nothing may have failed in it, or come from elsewhere."""
    pages = []

    def visit(state: str = "", size: dict[str, int] = WIDE, **context: object):
        opened = browser.new_context(viewport=size, **context).new_page()
        opened.set_default_timeout(20_000)
        opened.trouble = []
        opened.on("pageerror", lambda error: opened.trouble.append(str(error)))
        opened.on("console", lambda said: opened.trouble.append(said.text) if said.type == "error" else None)
        opened.on("request", lambda asked: opened.trouble.append(asked.url) if not _is_own(asked.url, served) else None)
        opened.goto(served + state)
        pages.append(opened)
        return opened

    yield visit
    for number, opened in enumerate(pages):
        if folder := os.environ.get("IMGSEARCH_SCREENSHOTS"):
            opened.wait_for_timeout(300)
            opened.screenshot(path=Path(folder, f"{request.node.name}-{number}.png"))
        assert opened.trouble == []
        opened.context.close()


def _is_own(address: str, served: str) -> bool:
    return address.startswith((served, "blob:", "data:"))


def type_text(page, text: str) -> None:
    page.locator("#text").fill("")
    page.locator("#text").press_sequentially(text)


def tiles(page):
    return page.locator(".grid a")


def test_it_answers_while_one_types_and_the_address_says_what_is_searched(visit):
    page = visit()
    expect(page.locator("#status")).to_have_text("12 photos to search")
    expect(page.locator("#text")).to_be_focused()
    type_text(page, "a cat")
    expect(page).to_have_url(re.compile(r"\?q=a\+cat$"))
    page.wait_for_load_state("networkidle")
    type_text(page, "a rocket launch")
    expect(page).to_have_url(re.compile(r"\?q=a\+rocket\+launch$"))
    expect(page).to_have_title("a rocket launch - imgsearch")


def test_a_link_shows_the_same_and_back_leads_through_what_was_searched(visit):
    page = visit("?q=a+brick+wall&min_score=0")
    expect(tiles(page)).to_have_count(6)
    first = tiles(page).first
    expect(first).to_have_attribute("title", re.compile("brick.png"))
    first.click()
    expect(page.locator("#name")).to_have_text("brick.png")
    page.go_back()
    expect(page.locator("#viewer")).to_be_hidden()
    page.go_forward()
    expect(page.locator("#viewer")).to_be_visible()
    page.reload()
    expect(page.locator("#name")).to_have_text("brick.png")
    expect(page.locator("#facts")).to_contain_text("512 × 512")
    page.keyboard.press("Escape")
    expect(page).not_to_have_url(re.compile("photo="))
    type_text(page, "a clock")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("a.clock"))
    page.go_back()
    expect(page.locator("#text")).to_have_value("a brick wall")


def test_back_does_not_open_a_photo_that_was_closed(visit):
    page = visit("?q=a+clock&min_score=0")
    expect(tiles(page)).to_have_count(6)
    type_text(page, "a brick wall")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("a.brick.wall"))
    page.locator("#unlikely").click()
    expect(tiles(page)).to_have_count(6)
    tiles(page).first.click()
    expect(page.locator("#name")).to_have_text("brick.png")
    assert page.evaluate("getComputedStyle(document.body).overflowY") == "hidden"  # what lies below does not scroll
    page.keyboard.press("ArrowRight")
    expect(page.locator("#name")).not_to_have_text("brick.png")
    page.keyboard.press("Escape")
    expect(page.locator("#viewer")).to_be_hidden()
    expect(page).not_to_have_url(re.compile("photo="))
    assert page.evaluate("getComputedStyle(document.body).overflowY") != "hidden"
    page.go_back()
    page.go_back()
    expect(page.locator("#text")).to_have_value("a clock")
    expect(page.locator("#viewer")).to_be_hidden()


def test_pictures_are_shown_large_with_facts_and_one_leads_to_the_next(visit):
    page = visit("?q=a+brick+wall&min_score=0")
    tiles(page).first.click()
    expect(page.locator("#large")).to_have_js_property("naturalWidth", 512)
    page.keyboard.press("ArrowRight")
    expect(page.locator("#name")).not_to_have_text("brick.png")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#name")).to_have_text("brick.png")
    expect(page.locator("#previous")).to_be_disabled()
    page.locator("#close").click()
    expect(tiles(page).first).to_be_focused()


def test_more_like_this_searches_by_the_photo(visit):
    page = visit("?q=a+brick+wall&min_score=0")
    tiles(page).first.click()
    page.locator("#more").click()
    expect(page).to_have_url(re.compile(r"\?like="))
    expect(page.locator("#like")).to_contain_text("Photos like this one")
    expect(tiles(page)).to_have_count(5)  # all shown ones but itself
    expect(page.locator("#like-picture")).to_have_js_property("complete", True)
    page.locator("#unlike").click()
    expect(tiles(page)).to_have_count(0)


def test_a_photo_that_is_dropped_or_chosen_finds_others_like_it(visit, place):  # noqa: F811
    page = visit()
    page.locator("#file").set_input_files(place / "photos" / "brick.png")
    expect(tiles(page).first).to_have_attribute("title", re.compile("brick.png"))
    page.go_back()
    expect(tiles(page)).to_have_count(0)
    drop(page, place / "photos" / "grass.png")
    expect(tiles(page).first).to_have_attribute("title", re.compile("grass.png"))
    expect(page.locator("#drop")).to_be_hidden()


def drop(page, path: Path) -> None:
    """Drop a file on the page as a file manager does."""
    page.locator("#file").evaluate("(field) => field.removeAttribute('hidden')")
    page.locator("#file").evaluate(
        """(field, content) => {
            const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
            const data = new DataTransfer();
            data.items.add(new File([bytes], "photo.png", { type: "image/png" }));
            for (const name of ["dragover", "drop"])
                field.dispatchEvent(new DragEvent(name, { dataTransfer: data, bubbles: true, cancelable: true }));
            field.setAttribute("hidden", "");
        }""",
        base64.b64encode(path.read_bytes()).decode(),
    )


def test_a_given_photo_that_the_browser_cannot_show_is_searched_by_and_leaves_no_broken_picture(visit):
    page = visit()
    page.locator("#file").set_input_files(Path(__file__).parents[1] / "corpus" / "heif-orientation-8.heic")
    expect(page.locator("#like")).to_be_visible()
    expect(tiles(page)).to_have_count(6)
    expect(page.locator("#like-picture")).to_be_hidden()


def test_the_notice_stands_where_something_is_withheld(visit, place):  # noqa: F811
    page = visit("?q=a+cat&min_score=0")
    expect(page.locator(".notice").first).to_contain_text(NOTICE)
    expect(tiles(page)).to_have_count(6)
    content = page.content()
    assert not [path.name for path in secret(place) if path.name in content]
    refused = visit("?q=children+playing")
    expect(refused.locator(".notice")).to_have_text(NOTICE)
    expect(tiles(refused)).to_have_count(0)
    dropped = visit()
    drop(dropped, secret(place)[0])
    expect(dropped.locator(".notice")).to_have_text(NOTICE)
    expect(dropped).to_have_url(re.compile(r"/$"))


def test_filters_narrow_the_search_and_stay_in_the_address(visit):
    page = visit("?q=a+wall&min_score=0")
    expect(tiles(page)).to_have_count(6)
    page.locator("summary").click()
    page.locator("select[name=shape]").select_option("portrait")
    expect(page).to_have_url(re.compile("shape=portrait"))
    page.locator("input[name=after]").fill("1999-")
    expect(page.locator("input[name=after]:invalid")).to_have_count(1)
    page.locator("input[name=after]").fill("2999")
    expect(page.locator("#status")).to_contain_text("filters")
    page.locator("#clear").click()
    expect(page).to_have_url(re.compile(r"\?q=a\+wall$"))


def test_likely_ones_come_first_and_the_rest_on_demand(visit):
    page = visit("?q=a+submarine+under+the+ice")
    expect(page.locator("#status")).to_contain_text("probably not")
    expect(page.locator(".unlikely").first).to_be_visible()
    page.locator("#unlikely").click()
    expect(tiles(page)).to_have_count(6)


def test_the_keyboard_alone_is_enough(visit):
    page = visit()
    page.keyboard.type("a brick wall")
    page.keyboard.press("Enter")
    page.wait_for_load_state("networkidle")
    page.keyboard.press("Tab")
    page.keyboard.press("/")
    expect(page.locator("#text")).to_be_focused()
    expect(tiles(page).first).to_be_visible()
    page.keyboard.press("ArrowDown")
    expect(tiles(page).nth(0)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#viewer")).to_be_visible()
    page.keyboard.press("m")
    expect(page).to_have_url(re.compile(r"\?like="))
    expect(page.locator("#viewer")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["1440", "320"])
def test_it_fits_the_screen_and_its_texts_can_be_read(visit, size, scheme):
    page = visit("?q=a+wall&min_score=0", size=size, color_scheme=scheme)
    expect(tiles(page)).to_have_count(6)
    page.locator("summary").click()
    assert page.evaluate("() => document.documentElement.scrollWidth") == size["width"]
    for selector in ("body", ".place", ".notice", "#status", "button"):
        front, back = page.locator(selector).first.evaluate(
            """(element) => {
                const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
                let above = element;
                while (above && parts(getComputedStyle(above).backgroundColor)[3] === 0) above = above.parentElement;
                return [parts(getComputedStyle(element).color), parts(getComputedStyle(above).backgroundColor)];
            }"""
        )
        assert contrast(front, back) >= 4.5, selector
    assert (luminance(back) < 0.2) is (scheme == "dark")


def luminance(colour: list[float]) -> float:
    parts = [value / 255 for value in colour[:3]]
    linear = [value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4 for value in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: list[float], other: list[float]) -> float:
    """The contrast of two colours as WCAG 2 defines it."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_the_grid_goes_on_while_one_scrolls(browser, imgsearch, demo, tmp_path):
    from PIL import Image

    with Image.open(demo / "test_images" / "brick.png") as picture:
        for number in range(90):  # of other content each, so that each has a row
            picture.crop((0, 0, 60 + number, 60)).save(tmp_path / f"{number}.png")
    imgsearch("index", tmp_path, "--store", tmp_path / "store")
    imgsearch("policy", "allow", tmp_path, "--reason", "a test", "--store", tmp_path / "store")
    with serving(tmp_path / "store") as client:
        page = browser.new_page(viewport=WIDE)
        page.goto(client.link + "?q=a+brick+wall&min_score=0")
        expect(page.locator("#status")).to_have_text("40+ photos")
        for count in (80, 90):
            page.mouse.wheel(0, 100_000)
            expect(tiles(page)).to_have_count(count)
        expect(page.locator("#status")).to_have_text("90 photos")
        expect(tiles(page).last.locator("img")).to_have_js_property("complete", True)
        names = tiles(page).evaluate_all("(links) => links.map((link) => link.title)")
        assert len(set(names)) == 90
        page.close()
