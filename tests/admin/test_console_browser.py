"""The console in a real browser: chromium, driven by playwright. Skipped where either is missing; .ci/run has both."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.admin.admin_harness import PLAN, policy, shop
from tests.admin.admin_server import Served, serving

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CONTRAST = """() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (node) => { for (; node; node = node.parentElement) {
    const found = rgb(getComputedStyle(node).backgroundColor); if (found.length < 4 || found[3] > 0) return found; }
    return [255, 255, 255]; };
  const wrong = [];
  for (const node of document.querySelectorAll("body *")) {
    if (![...node.childNodes].some((each) => each.nodeType === 3 && each.textContent.trim())) continue;
    if (!node.checkVisibility() || node.matches(".skip")) continue;
    const [a, b] = [light(rgb(getComputedStyle(node).color)), light(behind(node))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) wrong.push(node.outerHTML.slice(0, 120));
  }
  return wrong;
}"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        sync_playwright = None
    if sync_playwright is None or CHROMIUM is None:
        assert not os.environ.get("PENSTOCK_REQUIRE_BROWSER"), "playwright or chromium is missing"
        pytest.skip("there is no chromium, or no playwright (pip install --group browser)")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("console")) as made:
        made.apply(shop(), policy(), PLAN)
        made.run(made.node.send("POST", "/applications", json={"name": "partner", "title": "A partner"}))
        yield made


@contextmanager
def opened(browser: Any, served: Served, **options: Any) -> Iterator[Any]:
    """A signed-in page. What its log tells of violations and errors fails the test."""
    context = browser.new_context(**options)
    page, wrong = context.new_page(), list[str]()
    page.on("console", lambda message: wrong.append(message.text) if message.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(f"{served.url}/console")
    page.get_by_label("Admin token").fill(served.node.tokens["admin"])
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Overview").wait_for()
    yield page
    context.close()
    assert wrong == []


def test_somebody_publishes_a_policy_by_form_and_creates_a_key(chromium: Any, served: Served) -> None:
    with opened(chromium, served) as page:
        page.goto(f"{served.url}/console/policies/team/edit")
        field = page.get_by_label("YAML")
        field.fill(field.input_value().replace("blue", "green"))
        page.get_by_role("button", name="Check").click()
        page.get_by_role("button", name="Apply on every node").click()
        page.get_by_text("Policy team: update").wait_for()
        assert "green" in page.content()
        page.goto(f"{served.url}/console/applications/partner")
        page.get_by_role("button", name="Create key").click()
        assert page.locator("#secret").inner_text().startswith("pk_")
        stored = page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]")
        assert stored == [0, 0, ""]


def test_everything_can_be_done_by_keyboard(chromium: Any, served: Served) -> None:
    with opened(chromium, served) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the page"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        page.goto(f"{served.url}/console/applications")
        page.keyboard.press("/")
        page.keyboard.type("nobody of that name")
        assert not page.get_by_role("link", name="partner").is_visible()
        page.keyboard.press("Escape")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="partner").wait_for()
        summary = page.get_by_text("Suspend", exact=True)
        summary.focus()
        page.keyboard.press("Enter")
        assert page.get_by_role("button", name="Yes, suspend").is_visible()
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        page.keyboard.press("Escape")
        assert not page.get_by_role("button", name="Yes, suspend").is_visible()


PAGES = ("", "/apis/shop@v1", "/policies/team/edit", "/applications/partner", "/tokens", "/audit", "/policy-kinds/cors")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_have_enough_contrast(chromium: Any, served: Served, scheme: str) -> None:
    """WCAG 2.2, 1.4.3: 4.5:1."""
    with opened(chromium, served, color_scheme=scheme) as page:
        backgrounds = set()
        for path in PAGES:
            page.goto(f"{served.url}/console{path}")
            assert page.evaluate(CONTRAST) == [], path
            backgrounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert backgrounds == {"rgb(251, 251, 250)" if scheme == "light" else "rgb(20, 24, 28)"}


def test_a_narrow_window_never_scrolls_sideways(chromium: Any, served: Served) -> None:
    with opened(chromium, served, viewport={"width": 360, "height": 740}) as page:
        for path in PAGES:
            page.goto(f"{served.url}/console{path}")
            assert page.evaluate("document.documentElement.scrollWidth") <= 360, path


def test_the_console_works_without_scripts(chromium: Any, served: Served) -> None:
    with opened(chromium, served, java_script_enabled=False) as page:
        page.goto(f"{served.url}/console/applications")
        page.get_by_label("Name").fill("plain")
        page.get_by_role("button", name="Create").click()
        page.get_by_text("Application plain is there.").wait_for()
        page.get_by_text("Delete", exact=True).click()
        page.get_by_role("button", name="Yes, delete").click()
        page.get_by_text("Application plain is gone.").wait_for()


def test_another_site_can_neither_frame_the_console_nor_send_its_forms(chromium: Any, served: Served) -> None:
    """CASES M69, as a browser does it: the other site is another port under another name."""
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"{served.url}/console")
    page.get_by_label("Admin token").fill(served.node.tokens["admin"])
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Overview").wait_for()
    action = f"{served.url}/console/applications"
    evil = (
        f'<iframe src="{served.url}/console"></iframe><form method=post action="{action}"><input name=name value=evil>'
    )
    page.route("http://evil.example/", lambda route: route.fulfill(body=evil, content_type="text/html"))
    page.goto("http://evil.example/")
    assert all("Overview" not in frame.content() for frame in page.frames[1:])
    page.evaluate("document.forms[0].submit()")
    page.get_by_text("The request came from another site").wait_for()
    context.close()
    assert '"evil"' not in served.run(served.node.send("GET", "/applications")).text
