"""The screenshots in docs/images/, which `make pictures` takes: whether they show the pages as they are."""

import base64
import re
from pathlib import Path

from tests.browser.conftest import Open, Tab
from tests.browser.test_pages import expect_failures
from tests.conftest import Run, Serve
from tests.support.pictures import assert_photographed
from tests.support.server import Server, server_environment

DESK = {"width": 1040, "height": 800}
PHONE = {"width": 390, "height": 844}
RESET = """
    /accounts/login/ /accounts/password_reset/ /accounts/password_reset/done/ {link} /accounts/reset/done/
    /accounts/reset/MQ/a-used-one/
""".split()
TOKEN = (
    "from django.contrib.auth.tokens import default_token_generator as tokens;"
    " print(tokens.make_token(User.objects.get()))"
)


def shown(tab: Tab, site: Path) -> str:
    """The page and its style, less what changes by itself."""
    page = re.sub(r'(data-fact="\w+">)[^<]*', r"\1", tab.page.content())
    page = re.sub(r"\b[0-9a-f]{32}\b|\d+:\d\d:\d\d( [AP]M)?|value=\"\w{64}\"", "", page)
    return page + (site / "static" / "site.css").read_text()


def test_the_first_page(open_tab: Open, debugging: Server, site: Path) -> None:
    for name, options in (
        ("first-page", {"viewport": DESK}),
        ("first-page-dark", {"viewport": DESK, "color_scheme": "dark"}),
        ("first-page-phone", {"viewport": PHONE}),
    ):
        tab = open_tab(**options)
        tab.page.goto(debugging.address)
        tab.page.wait_for_selector("[data-state=live]")
        tab.page.wait_for_function(
            "!document.querySelector('[data-fact=cache]').innerText.includes('…')"
        )
        assert_photographed(f"{name}.png", tab.page.screenshot(full_page=True), shown(tab, site))


def test_the_first_page_while_the_server_is_gone(open_tab: Open, site: Path, serve: Serve) -> None:
    server = serve(site, DEBUG="true").ready()
    tab = open_tab(viewport=DESK)
    tab.expected = ["ERR_CONNECTION_REFUSED"]
    tab.page.goto(server.address)
    tab.page.wait_for_selector("[data-state=live]")
    assert server.stop() == 0
    tab.page.wait_for_selector("[data-state=away]")
    png = tab.page.screenshot(clip={"x": 0, "y": 0, "width": DESK["width"], "height": 480})
    assert_photographed("server-gone.png", png, shown(tab, site))


def test_an_error_page(open_tab: Open, production: Server, site: Path) -> None:
    tab = expect_failures(open_tab(viewport={"width": 1040, "height": 300}))
    tab.page.goto(f"{production.address}/nowhere/")
    assert_photographed("not-found.png", tab.page.screenshot(), shown(tab, site))


def test_the_pages_of_a_reset(open_tab: Open, production: Server, site: Path, run: Run) -> None:
    """Six of them on one picture."""
    made = run(site, "python", "manage.py", "shell", "--command", TOKEN, **server_environment(site))
    link = f"/accounts/reset/MQ/{made.stdout.split()[-1]}/"
    tab = open_tab(viewport={"width": 460, "height": 600})
    pages, pictures = "", []
    for path in RESET:
        tab.page.goto(production.address + path.format(link=link))
        pages += shown(tab, site)
        pictures.append(base64.b64encode(tab.page.screenshot()).decode())
    sheet = open_tab(viewport={"width": 1392, "height": 1208})
    images = "".join(f'<img alt="" src="data:image/png;base64,{each}">' for each in pictures)
    sheet.page.set_content(
        f"<style>body {{ margin: 0 }} img {{ float: left; margin: 2px }}</style>{images}"
    )
    assert_photographed("reset-pages.png", sheet.page.screenshot(), pages)
