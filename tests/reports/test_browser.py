"""The page in a browser without a network: a page with hostile strings is loaded once, a finished one once."""

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.browser
MARKS = "p.querySelectorAll('.scatterlayer .trace path, .barlayer .point path, .hm image, .hm path').length"
PHONE = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}


def errors(browser: Any) -> list[str]:
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


def emulate(browser: Any, scheme: str, medium: str = "") -> None:
    media = {"media": medium, "features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)


def settled(browser: Any) -> None:
    """Two frames later."""
    browser.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")


def opened(browser: Any, requests: Any, path: Path) -> tuple[list[str], set[str]]:
    """What the console said, and what was asked for, while a page was loaded."""
    emulate(browser, "light")
    browser.get("about:blank")
    _ = errors(browser), requests()
    browser.get(path.as_uri())
    # Chromium's own new-tab page may still be at work; it is no part of ours.
    return errors(browser), {url for url in requests() if not url.startswith(("data:", "blob:", "chrome:", "about:"))}


def is_sound(browser: Any) -> None:
    """Every figure has marks, and nothing is wider than a phone but what scrolls by itself."""
    drawn = browser.execute_script(f"return [...document.querySelectorAll('.plot')].map(p => [p.id, {MARKS}])")
    assert len(drawn) >= 10
    assert not [name for name, count in drawn if not count]
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    settled(browser)
    wide = browser.execute_script("""
        const within = (e) => e.closest(".scroll, .pan, pre, .skip");
        return [document.documentElement.scrollWidth, ...[...document.querySelectorAll("body *")]
            .filter((e) => !within(e) && e.getBoundingClientRect().right > 391).map((e) => e.outerHTML.slice(0, 80))]""")
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert wide == [390]


@pytest.fixture(scope="module")
def shown(browser: Any, finished: Path) -> Any:
    """The finished page."""
    browser.get(finished.as_uri())
    return browser


def test_hostile_strings_stay_text(browser: Any, requests: Any, evil: Path) -> None:
    """No console error, nothing requested but the page itself, no dialog, no title changed by a name, nothing torn."""
    said, asked = opened(browser, requests, evil)
    assert said == []
    assert asked == {evil.as_uri()}
    assert "broken" not in browser.title.replace("document.title='broken'", "")  # a dialog would have raised here
    assert browser.execute_script("return document.querySelectorAll(`img, b, a:not([href^='#'])`).length") == 0
    assert browser.execute_script("return document.querySelectorAll('.plot a, .plot b').length") == 0
    is_sound(browser)
    assert errors(browser) == []


def test_the_finished_page_is_sound(browser: Any, requests: Any, finished: Path) -> None:
    said, asked = opened(browser, requests, finished)
    assert (said, asked) == ([], {finished.as_uri()})
    is_sound(browser)
    ways = browser.execute_script(
        "return [...document.querySelectorAll('.contents a')].map(a => a.getAttribute('href').slice(1))"
    )
    assert ways == browser.execute_script("return [...document.querySelectorAll('main > section')].map(s => s.id)")
    labels = browser.execute_script(
        "return [...document.querySelectorAll('.plot')].map(p => [p.getAttribute('role'), p.ariaLabel])"
    )
    assert all(role == "img" and said.endswith(".") for role, said in labels)


def column(browser: Any, table: str, number: int) -> list[str]:
    """First lines of a column's cells, from top to bottom."""
    script = "return [...arguments[0].tBodies[0].rows].map(r => r.cells[arguments[1]].firstChild.textContent.trim())"
    return browser.execute_script(script, table, number)


def table_of(browser: Any, caption: str) -> Any:
    return browser.execute_script(
        "return [...document.querySelectorAll('table')].find(t => t.caption.textContent.includes(arguments[0]))", caption
    )


def number(text: str) -> float:
    return float(text.replace("−", "-").rstrip(" %*"))


def test_a_column_is_sorted_by_value_with_missing_ones_last(shown: Any) -> None:
    """Numbers and not their words (−0.4 before 0.05 before 0.3, 8 before 10), intervals below do not count, ties stay."""
    table = table_of(shown, "Kept and learned")
    title = shown.execute_script("return arguments[0].tHead.rows[0].cells[3]", table)
    button = title.find_element("css selector", "button")
    before = column(shown, table, 3)
    assert "–" in before
    for _, backwards, state in ((0, False, "ascending"), (1, True, "descending")):
        button.send_keys("\n")  # by keyboard
        values = column(shown, table, 3)
        assert values[-1] == "–"
        found = [number(value) for value in values[:-1]]
        assert found == sorted(found, reverse=backwards)
        assert title.get_attribute("aria-sort") == state
    assert sorted(column(shown, table, 3)) == sorted(before)
    words = shown.execute_script("return arguments[0].tHead.rows[0].cells[0]", table)
    words.find_element("css selector", "button").click()
    assert title.get_attribute("aria-sort") is None
    assert column(shown, table, 0) == sorted(column(shown, table, 0))


def test_losses_come_before_gains(shown: Any) -> None:
    """Words would put −28.8 behind +4, and a collator for numbers does not know a true minus."""
    table = table_of(shown, "Accuracy in points")
    shown.execute_script("arguments[0].tHead.rows[0].cells[5].querySelector('button').click()", table)
    found = [number(value) for value in column(shown, table, 5)]
    assert found == sorted(found)
    assert found != sorted(found, key=abs)


def test_long_tables_are_folded(shown: Any) -> None:
    table = table_of(shown, "Items right before and wrong after")
    sheet = shown.execute_script("return arguments[0].closest('.sheet')", table)
    more = sheet.find_element("css selector", ".more")
    assert len([row for row in table.find_elements("css selector", "tbody tr") if row.is_displayed()]) == 12
    more.click()
    assert all(row.is_displayed() for row in table.find_elements("css selector", "tbody tr"))
    assert more.get_attribute("aria-expanded") == "true"


def test_the_search_finds_what_is_there_and_counts_it(shown: Any) -> None:
    table = table_of(shown, "questions that flipped")
    sheet = shown.execute_script("return arguments[0].closest('.sheet')", table)
    box, count = (sheet.find_element("css selector", each) for each in ("input[type=search]", "output"))
    rows = shown.execute_script("return [...arguments[0].tBodies[0].rows].map(r => r.textContent)", table)
    assert count.text == f"{len(rows)} of {len(rows)} rows"
    box.send_keys("OF GRAMMAR:")
    expected = [row for row in rows if "of grammar:" in row.lower()]
    assert 0 < len(expected) < len(rows)
    visible = "return [...arguments[0].tBodies[0].rows].filter(r => !r.hidden).map(r => r.textContent)"
    assert sorted(shown.execute_script(visible, table)) == sorted(expected)
    assert count.text == f"{len(expected)} of {len(rows)} rows"
    box.clear()
    box.send_keys("nothing has these words")
    assert count.text == f"0 of {len(rows)} rows"
    box.clear()
    box.send_keys(" \b")
    assert count.text == f"{len(rows)} of {len(rows)} rows"


def test_dark_follows_the_reader(shown: Any) -> None:
    colours = []
    for scheme in ("light", "dark"):
        emulate(shown, scheme)
        settled(shown)
        script = (
            "return [getComputedStyle(document.body).backgroundColor, document.querySelector('.plot')._fullLayout.font.color]"
        )
        colours.append(shown.execute_script(script))
    emulate(shown, "light")
    assert not set(colours[0]) & set(colours[1])


def test_paper_is_light_and_shows_what_is_folded(shown: Any) -> None:
    """Details open, long tables whole, figures no wider than the paper, and back to the reader's colours afterwards."""
    emulate(shown, "dark")
    settled(shown)
    shown.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert shown.execute_script("return [...document.querySelectorAll('details:not(.copy)')].every(d => d.open)")
    folded = "return [...document.querySelectorAll('.sheet:not([data-search]) tbody tr')].filter(r => r.hidden).length"
    assert shown.execute_script(folded) == 0
    layouts = "return [...document.querySelectorAll('.plot')].map(p => [p._fullLayout.font.color, p._fullLayout.width])"
    light = shown.execute_script(layouts)
    assert {colour for colour, _ in light} == {"#1b1f24"}
    assert max(width for _, width in light) <= 660
    shown.execute_script("dispatchEvent(new Event('afterprint'))")
    assert {colour for colour, _ in shown.execute_script(layouts)} == {"#e6e8eb"}
    emulate(shown, "light")


def test_the_data_are_copied_as_they_stand_and_not_printed(shown: Any) -> None:
    """A press of the button selects a whole table and copies it; where the clipboard is shut, it stays selected."""
    place = shown.find_element("css selector", "#copy details.copy")
    place.find_element("css selector", "summary").click()
    place.find_element("css selector", "button").click()
    settled(shown)
    box = place.find_element("css selector", "textarea")
    text = box.get_property("value")
    assert text.startswith("arm,role,answer")
    assert shown.execute_script("return [arguments[0].selectionStart, arguments[0].selectionEnd]", box) == [0, len(text)]
    assert place.find_element("css selector", "output").text in ("copied", "selected: press Ctrl+C")
    emulate(shown, "light", "print")
    assert not place.is_displayed()
    emulate(shown, "light")
