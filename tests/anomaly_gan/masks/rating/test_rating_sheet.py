"""The rating sheet in a real browser: what an expert does on it is what `read_ratings` reads."""

import re
import shutil
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Dialog, Page, sync_playwright

from anomaly_gan.masks.rating.rating_sheet import SheetMask, rating_sheet
from anomaly_gan.masks.rating.ratings import read_ratings
from anomaly_gan.samples.sample import decode_png

TITLE = "Pool of <tiles> & 'more'"
MASKS = ("d0", 'a "b", c', "<d2>", "d3", "d4", "d5")


def sheet(masks: tuple[str, ...] = MASKS) -> str:
    shape = np.zeros((12, 20), np.uint8)
    shape[3:9, 4:15] = 255
    picture = np.stack([shape] * 3, axis=2)
    return rating_sheet(TITLE, [SheetMask(name, "dent & dust", picture, f"note of {name}") for name in masks])


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no chromium, chromium-browser or google-chrome on PATH")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=found)
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    """The sheet, opened from a file; an error of its script fails the test."""
    path = tmp_path / "sheet.html"
    path.write_text(sheet(), encoding="utf-8")
    errors: list[str] = []
    opened = browser.new_page(viewport={"width": 1000, "height": 800})
    opened.set_default_timeout(5000)
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.goto(path.as_uri())
    yield opened
    opened.close()
    assert not errors


def name_oneself(page: Page, name: str) -> None:
    page.get_by_label("Your name").fill(name)
    page.keyboard.press("Tab")


def rate(page: Page, mask: int, term: str) -> None:
    page.locator(".mask").nth(mask).get_by_role("button", name=term, exact=True).click()


def shown(page: Page) -> list[str]:
    return page.locator(".rating").all_inner_texts()


def saved(page: Page, folder: Path) -> tuple[str, list[tuple[str, str, str]]]:
    """Name of the downloaded file, and its ratings as (mask, expert, score)."""
    with page.expect_download() as download:
        page.get_by_role("button", name="Save CSV").click()
    download.value.save_as(folder / "saved.csv")
    text = (folder / "saved.csv").read_text(encoding="utf-8")
    return download.value.suggested_filename, [
        (each.mask, each.expert, each.text) for each in read_ratings(text, "saved.csv")
    ]


def test_what_is_rated_by_mouse_and_keys_is_saved_as_the_table_that_is_read(page: Page, tmp_path: Path) -> None:
    name_oneself(page, ' Mei "M", Lin ')
    rate(page, 0, "very high")
    page.keyboard.press("j")
    page.keyboard.press("2")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("4")
    slider = page.locator(".slider").nth(3)
    slider.click(position={"x": 2, "y": 4})
    page.locator(".number").nth(4).fill("0.625")
    page.reload()
    assert page.get_by_label("Your name").input_value() == 'Mei "M", Lin'
    assert shown(page) == ["very high", "low", "high", "0", "0.625", "unrated"]
    assert page.locator("#count").inner_text() == "5 of 6 rated"
    file_name, rows = saved(page, tmp_path)
    assert file_name == "ratings-Pool-of-tiles-more-Mei-M-Lin.csv"
    assert rows == [
        ("d0", 'Mei "M", Lin', "very high"),
        ('a "b", c', 'Mei "M", Lin', "low"),
        ("<d2>", 'Mei "M", Lin', "high"),
        ("d3", 'Mei "M", Lin', "0"),
        ("d4", 'Mei "M", Lin', "0.625"),
    ]
    assert page.locator("#message").inner_text() == f"Saved 5 of 6 as {file_name}."


def test_every_key_of_the_legend_works(page: Page) -> None:
    keys = ["1", "j", "2", "j", "3", "j", "4", "j", "5", "ArrowLeft", "ArrowLeft", "0", "k", "Backspace"]
    for key in keys:
        page.keyboard.press(key)
    assert shown(page) == ["very low", "unrated", "unrated", "high", "very high", "unrated"]
    page.keyboard.press("n")
    assert page.evaluate("document.activeElement.dataset.mask") == "<d2>"
    page.keyboard.press("ArrowUp")  # no row above: three columns, the third mask is in the first row
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.dataset.mask") == "d5"
    page.keyboard.press("j")  # the last stays
    page.keyboard.press("1")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("2")
    assert shown(page) == ["very low", "unrated", "low", "high", "very high", "very low"]
    page.get_by_role("button", name="Next unrated").click()
    page.keyboard.press("Control+3")
    page.keyboard.press("3")
    page.keyboard.press("n")
    assert page.locator("#message").inner_text() == "Every mask is rated."


def test_keys_in_a_field_are_typed_and_enter_returns_to_the_mask(page: Page) -> None:
    name_oneself(page, "jk5")
    number = page.locator(".number").first
    number.press_sequentially("0.512")
    number.press("Backspace")
    number.press("ArrowUp")
    assert shown(page)[0] == number.input_value() == "0.52"
    number.press("Enter")
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.dataset.mask") == 'a "b", c'
    slider = page.locator(".slider").nth(2)
    slider.focus()
    slider.press("ArrowRight")
    slider.press("j")
    page.keyboard.press("1")
    assert shown(page)[2:4] == ["0.51", "very low"]


def test_a_rating_can_be_changed_and_cleared(page: Page) -> None:
    rate(page, 0, "high")
    first = page.locator(".mask").first
    assert first.locator(".slider").input_value() == "0.75"
    first.locator(".slider").click()  # in the middle
    assert shown(page)[0] == first.locator(".number").input_value() == "0.5"
    assert first.get_by_role("button", name="high", exact=True).get_attribute("aria-pressed") == "false"
    rate(page, 0, "low")
    assert first.locator(".number").input_value() == ""
    first.get_by_role("button", name="clear").click()
    assert shown(page) == ["unrated"] * 6


def test_the_handle_of_the_slider_rates_where_it_already_stands(page: Page) -> None:
    page.locator(".slider").first.click()
    assert shown(page)[0] == "0.5"


def test_without_a_name_or_a_rating_nothing_is_saved(page: Page) -> None:
    save = page.get_by_role("button", name="Save CSV")
    save.click()
    assert page.locator("#message").inner_text() == "Type your name first: it goes into the table."
    assert page.evaluate("document.activeElement.id") == "expert"
    name_oneself(page, "mei")
    save.click()
    assert page.locator("#message").inner_text() == "Nothing is rated yet."


def test_a_number_outside_0_to_1_is_no_rating_and_stops_saving(page: Page, tmp_path: Path) -> None:
    name_oneself(page, "mei")
    rate(page, 0, "low")
    number = page.locator(".number").nth(1)
    number.fill("1.2")
    assert shown(page)[:2] == ["low", "unrated"]
    page.get_by_role("button", name="Save CSV").click()
    assert page.locator("#message").inner_text() == 'a "b", c: the number must be from 0 to 1.'
    number.fill("1")
    assert saved(page, tmp_path)[1] == [("d0", "mei", "low"), ('a "b", c', "mei", "1")]


def test_each_expert_has_ratings_of_their_own(page: Page) -> None:
    rate(page, 0, "low")
    name_oneself(page, "mei")  # takes the ratings from before there was a name
    assert shown(page)[0] == "low"
    page.once("dialog", lambda dialog: dialog.dismiss())
    name_oneself(page, "bo")
    assert shown(page) == ["unrated"] * 6
    rate(page, 1, "high")
    page.once("dialog", lambda dialog: dialog.dismiss())
    name_oneself(page, "mei")
    assert shown(page)[:2] == ["low", "unrated"]
    name_oneself(page, " ")
    assert page.get_by_label("Your name").input_value() == "mei"


def test_a_mistyped_name_can_be_mended(page: Page, tmp_path: Path) -> None:
    name_oneself(page, "mai")
    rate(page, 0, "low")
    questions: list[str] = []

    def agree(dialog: Dialog) -> None:
        questions.append(dialog.message)
        dialog.accept()

    page.once("dialog", agree)
    name_oneself(page, "mei")
    assert questions == ["Ratings given as mai: 1. Make them ratings of mei?"]
    assert saved(page, tmp_path)[1] == [("d0", "mei", "low")]
    page.once("dialog", lambda dialog: dialog.dismiss())
    name_oneself(page, "mai")
    assert shown(page) == ["unrated"] * 6


def test_without_storage_the_page_works_and_says_so(page: Page, tmp_path: Path) -> None:
    page.add_init_script("Object.defineProperty(window, 'localStorage', {get() { throw new Error('denied'); }})")
    page.reload()
    rate(page, 0, "low")
    assert "save the CSV before you close or reload it" in page.locator("#message").inner_text()
    name_oneself(page, "mei")
    assert saved(page, tmp_path)[1] == [("d0", "mei", "low")]


def test_a_page_of_200_masks_is_rated_by_keys(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "sheet.html"
    path.write_text(sheet(tuple(f"m{i:03d}" for i in range(200))), encoding="utf-8")
    page = browser.new_page(viewport={"width": 1000, "height": 800})
    page.goto(path.as_uri())
    name_oneself(page, "mei")
    for _ in range(40):
        page.keyboard.press("5")
        page.keyboard.press("j")
    assert page.locator("#count").inner_text() == "40 of 200 rated"
    box, bar = page.locator(".mask").nth(40).bounding_box(), page.locator(".bar").bounding_box()
    assert box and bar and bar["y"] == 0 and bar["height"] < box["y"] < box["y"] + box["height"] < 800  # in view
    page.close()


def test_the_page_requests_nothing(page: Page) -> None:
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.reload()
    assert requests[0] == page.url and all(url.startswith("data:") for url in requests[1:])


def test_text_is_escaped_and_the_thumbnail_keeps_its_pixels() -> None:
    html = sheet(("<d2>",))
    assert "<d2>" not in html and "&lt;d2&gt;" in html and "<tiles>" not in html
    uri = re.search(r'src="data:image/png;base64,([^"]+)"', html)
    assert uri is not None
    assert decode_png(b64decode(uri[1]), "thumbnail").shape == (12, 20, 3)
    assert html.count("<article") == 1 and "1 mask<" in html


def test_masks_stand_together_by_class_in_the_given_order() -> None:
    grey = np.zeros((4, 4), np.uint8)
    html = rating_sheet("t", [SheetMask(name, name[0], grey, "") for name in ("b1", "a2", "b0")])
    assert re.findall(r'data-mask="(\w+)"', html) == ["b1", "b0", "a2"]
    assert re.findall(r"<h2>(\w)", html) == ["b", "a"]
