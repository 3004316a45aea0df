"""Every page of a project in a browser: no finding of axe, valid HTML, readable on a phone, a strict policy."""

import json
import re
from collections.abc import Iterator
from itertools import count

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.browser.conftest import Open, Tab, Validate
from tests.support.server import Server

PAGES = {
    "first": "/",
    "login": "/accounts/login/",
    "reset": "/accounts/password_reset/",
    "sent": "/accounts/password_reset/done/",
    "old link": "/accounts/reset/MQ/set-password/",
    "400": "/fails/400/",
    "403": "/fails/403/",
    "404": "/nowhere/",
    "500": "/fails/500/",
}
ADMIN = """
    / /accounts/user/ /accounts/user/add/ /accounts/user/1/change/ /accounts/user/1/delete/
    /accounts/user/1/history/ /accounts/user/1/password/ /auth/group/ /auth/group/add/ /password_change/
""".split()
SCHEMES = ("light", "dark")
PHONE = {"width": 360, "height": 740}


def found_by_axe(tab: Tab) -> str:
    """What breaks a rule of accessibility: https://github.com/dequelabs/axe-core/blob/develop/doc/rule-descriptions.md"""
    results = Axe().run(tab.page)
    return "" if results.violations_count == 0 else str(results.generate_report())


def is_wider_than_its_window(tab: Tab) -> bool:
    wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    return bool(tab.page.evaluate(wide))


def expect_failures(tab: Tab) -> Tab:
    """A browser's console tells of each answer with such a status."""
    tab.expected = [f"status of {status}" for status in (400, 403, 404, 500)]
    return tab


@pytest.mark.parametrize("scheme", SCHEMES)
def test_no_page_breaks_a_rule_of_accessibility(
    open_tab: Open, production: Server, scheme: str
) -> None:
    tab = expect_failures(open_tab(color_scheme=scheme))
    for path in PAGES.values():
        tab.page.goto(production.address + path)
        assert found_by_axe(tab) == "", path
    tab.log_in(production)
    tab.page.wait_for_selector("[data-state=live]")
    assert found_by_axe(tab) == "", "the first page, live"


@pytest.mark.parametrize("signed", [False, True], ids=["stranger", "staff"])
def test_no_page_is_wider_than_a_phone(open_tab: Open, production: Server, signed: bool) -> None:
    tab = expect_failures(open_tab(viewport=PHONE))
    if signed:
        tab.log_in(production)
        tab.page.wait_for_selector("[data-state=live]")
        assert not is_wider_than_its_window(tab)
    for path in PAGES.values():
        tab.page.goto(production.address + path)
        assert not is_wider_than_its_window(tab), path


def test_the_scheme_is_the_visitors(open_tab: Open, production: Server) -> None:
    grounds = []
    for scheme in SCHEMES:
        tab = open_tab(color_scheme=scheme)
        tab.page.goto(production.address)
        ground = tab.page.evaluate("getComputedStyle(document.body).backgroundColor")
        grounds.append(sum(map(int, re.findall(r"\d+", ground)[:3])))
    assert grounds[0] > 600 > 200 > grounds[1]


def test_every_page_is_valid_html(
    open_tab: Open, production: Server, debugging: Server, validate: Validate
) -> None:
    pages = {name: httpx.get(production.address + path).text for name, path in PAGES.items()}
    pages["first, live"] = httpx.get(debugging.address).text
    tab = open_tab()
    tab.log_in(production)
    pages["first, staff"] = tab.page.request.get(production.address).text()
    assert validate({"wrong": "<!doctype html><p>"}) != [], "it finds what is wrong"
    assert validate(pages) == []


def errors(server: Server) -> Iterator[tuple[str, str]]:
    for status in ("400", "403", "500"):
        yield f"/fails/{status}/", status
        yield f"/fails-async/{status}/", status
    yield "/nowhere/", "404"


HEADINGS = {
    "400": "Bad request",
    "403": "No access",
    "404": "Not found",
    "500": "Something went wrong",
}


def test_each_error_has_its_page_with_the_requests_id(tab: Tab, production: Server) -> None:
    expect_failures(tab)
    for path, status in errors(production):
        answer = tab.page.goto(production.address + path)
        assert answer
        assert answer.status == int(status), path
        assert tab.page.get_by_role("heading").inner_text() == HEADINGS[status], path
        shown = tab.page.locator("code").inner_text()
        assert shown == answer.headers["x-request-id"], path
        production.wait_for_log(shown)


def test_a_form_that_is_out_of_date_says_so(tab: Tab, production: Server) -> None:
    expect_failures(tab)
    tab.page.goto(f"{production.address}/form/")
    with tab.page.expect_navigation() as navigation:
        tab.page.get_by_role("button").click()
    assert navigation.value
    assert navigation.value.status == 403
    assert tab.page.get_by_role("heading").inner_text() == "The form is out of date"
    assert tab.page.locator("code").inner_text() == navigation.value.headers["x-request-id"]
    assert found_by_axe(tab) == ""


def test_the_admin_works_under_the_same_policy(tab: Tab, production: Server) -> None:
    tab.log_in(production)
    for path in ADMIN:
        answer = tab.page.goto(f"{production.address}/admin{path}")
        assert answer
        assert answer.status == 200, path
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
    # What its scripts do: a group moves from one box to the other, a date is chosen, a page is left by a popup.
    tab.page.goto(f"{production.address}/admin/accounts/user/1/change/")
    tab.page.locator("#id_user_permissions_from option").first.dblclick()
    assert tab.page.locator("#id_user_permissions_to option").count() == 1
    tab.page.locator(".datetimeshortcuts a").first.click()
    assert tab.page.locator("#id_last_login_0").input_value()
    with tab.page.expect_popup() as popup:
        tab.page.locator("#add_id_groups").click()
    popup.value.get_by_label("Name:").fill("tea")
    popup.value.get_by_role("button", name="Save").click()
    tab.page.wait_for_function("document.querySelectorAll('#id_groups_to option').length === 1")


def test_a_style_that_is_not_the_sites_is_blocked(open_tab: Open, production: Server) -> None:
    """Or else the tests above would see nothing."""
    tab = open_tab()
    tab.expected = ["Content Security Policy"]
    tab.page.goto(production.address)
    tab.page.evaluate("document.body.setAttribute('style', 'color: red')")
    tab.page.evaluate(
        "document.head.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))"
    )
    assert tab.page.evaluate("window.ran") is None


def test_log_in_and_out(tab: Tab, production: Server) -> None:
    tab.log_in(production)
    assert tab.page.locator("[data-fact]").count() > 10
    tab.page.get_by_role("button", name="Log out ada").click()
    tab.page.get_by_role("link", name="Log in").wait_for()
    assert tab.page.locator("[data-fact]").count() == 0


def test_a_page_is_used_by_the_keyboard_alone(tab: Tab, production: Server) -> None:
    tab.page.goto(f"{production.address}/accounts/login/")
    # The browser gives the first field the focus when it draws the page, which may be after its load.
    tab.page.wait_for_function("document.activeElement.name == 'username'")
    for text in ("ada", "open sesame"):
        if text != "ada":
            tab.page.keyboard.press("Tab")
        tab.page.keyboard.type(text)
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_url(f"{production.address}/")
    seen = []
    for _ in count():
        tab.page.keyboard.press("Tab")
        text, outline = json.loads(
            tab.page.evaluate(
                "JSON.stringify([document.activeElement.innerText, getComputedStyle(document.activeElement).outlineStyle])"
            )
        )
        if text in seen or document_is(text):
            break
        assert outline == "solid", f"{text}: nobody sees that it has the focus"
        seen.append(text)
    assert seen == ["Log out ada", "the admin", "readyz", "livez", "of the template", "of Django"]


def document_is(text: str) -> bool:
    """Whether this is the text of the whole page: no part of it has the focus."""
    return "What next" in text


def test_a_style_sheet_is_asked_for_once(tab: Tab, production: Server) -> None:
    transferred = "performance.getEntriesByType('resource').filter(e => e.name.endsWith('.css')).map(e => e.transferSize)"
    for path, is_cached in (("/", False), ("/accounts/login/", True)):
        with (
            tab.page.expect_response("**/*.css") if not is_cached else tab.page.expect_event("load")
        ):
            tab.page.goto(production.address + path)
        (size,) = tab.page.evaluate(transferred)
        assert (size == 0) == is_cached
    style = tab.page.locator("link[rel=stylesheet]").get_attribute("href")
    answer = httpx.get(f"{production.address}{style}")
    assert answer.headers["cache-control"] == "max-age=315360000, public, immutable"
