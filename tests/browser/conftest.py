"""Debian's Chromium, driven by Playwright: a tab that notes what is wrong, and servers to look at."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from tests.conftest import ROOT, Run, Serve, add_ada, clean_environment, with_packages
from tests.support.server import PATIENCE, Server
from tests.support.sites import put_site

# As .ci/run looks for it.
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None
)
QUIET = (
    "disable-quic no-first-run disable-background-networking disable-component-update disable-sync"
)

# As production, but over http.
PRODUCTION = {"SECURE_SSL_REDIRECT": "false", "SECURE_COOKIES": "false", "SECURE_HSTS_SECONDS": "0"}

VALIDATOR = ROOT / "build" / "npm" / "node_modules" / "vnu-jar" / "build" / "dist" / "vnu.jar"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("browser")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no chromium")
    flags = [f"--{flag}" for flag in QUIET.split()]
    with sync_playwright() as playwright:
        launch = playwright.chromium.launch
        # Where the tests are root's, in a container, Chromium has no sandbox.
        browser = launch(
            executable_path=CHROMIUM,
            args=flags,
            chromium_sandbox=os.getuid() != 0,
            timeout=PATIENCE * 1000,
        )
        yield browser
        browser.close()


@dataclass
class Tab:
    """A page of a browser context of its own."""

    page: Page
    wrong: list[str] = field(default_factory=list)  # what its console says of errors
    strangers: set[str] = field(default_factory=set)  # other hosts that it has asked
    expected: list[str] = field(default_factory=list)  # what its console may say

    def watch(self) -> "Tab":
        page = self.page
        page.set_default_timeout(PATIENCE * 1000)
        page.on("console", self.hear)
        page.on("pageerror", lambda error: self.note(str(error)))
        page.on("request", lambda request: self.strangers.add(str(urlsplit(request.url).hostname)))
        return self

    def hear(self, said: ConsoleMessage) -> None:
        if said.type in {"error", "warning"}:
            self.note(f"{said.text} {said.location['url']}")

    def note(self, text: str) -> None:
        if not any(part in text for part in self.expected):
            self.wrong.append(text)

    def fact(self, name: str) -> str:
        return self.page.locator(f"[data-fact={name}]").inner_text()

    @property
    def sign(self) -> str:
        return self.page.get_by_role("status").inner_text()

    def log_in(self, server: Server) -> None:
        self.page.goto(f"{server.address}/accounts/login/")
        self.page.get_by_label("Username").fill("ada")
        self.page.get_by_label("Password").fill("open sesame")
        self.page.get_by_role("button", name="Log in").click()
        self.page.wait_for_url(f"{server.address}/")


Open = Callable[..., Tab]


@pytest.fixture
def open_tab(chromium: Browser, serve: Serve) -> Iterator[Open]:
    """Opens a tab: `open_tab(color_scheme="dark")`. At the end its console is clean, and it asked no other host.

    It is closed before `serve` kills what it has served.
    """
    tabs: list[Tab] = []

    def open_one(**options: object) -> Tab:
        context = chromium.new_context(**options)  # type: ignore[arg-type]
        tabs.append(Tab(context.new_page()).watch())
        return tabs[-1]

    yield open_one
    for each in tabs:
        each.page.context.close()
    assert [text for each in tabs for text in each.wrong] == []
    assert {host for each in tabs for host in each.strangers} <= {"127.0.0.1"}


@pytest.fixture
def tab(open_tab: Open) -> Tab:
    return open_tab()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, prepared_project: Path, run: Run) -> Path:
    """A project with a user "ada", and pages that fail."""
    folder = tmp_path_factory.mktemp("browser") / "project"
    shutil.copytree(prepared_project, folder)
    put_site(folder, "errors")
    add_ada(folder, run)
    return folder


def running(site: Path, environment: Path, **variables: str) -> Iterator[Server]:
    server = Server(environment / "bin", site, with_packages(site, clean_environment()), variables)
    try:
        yield server.ready()
    finally:
        server.kill()


@pytest.fixture(scope="session")
def production(site: Path, environment: Path) -> Iterator[Server]:
    yield from running(site, environment, **PRODUCTION)


@pytest.fixture(scope="session")
def debugging(site: Path, environment: Path) -> Iterator[Server]:
    yield from running(site, environment, DEBUG="true")


Validate = Callable[[dict[str, str]], list[str]]


@pytest.fixture(scope="session")
def validate(tmp_path_factory: pytest.TempPathFactory) -> Validate:
    """What the Nu Html Checker, which validator.w3.org runs, says of pages: `validate({"login": "<!doctype..."})`."""
    java = shutil.which("java")
    if not (java and VALIDATOR.exists()):
        pytest.skip("no java, or no vnu.jar; `make test-browser` fetches the second")

    def found(pages: dict[str, str]) -> list[str]:
        folder = tmp_path_factory.mktemp("pages")
        for name, text in pages.items():
            (folder / f"{name}.html").write_text(text)
        command = [java, "-jar", VALIDATOR, "--format", "json", "--exit-zero-always", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # type: ignore[arg-type]
        messages = json.loads(done.stderr or done.stdout)["messages"]
        return [f"{Path(urlsplit(each['url']).path).name}: {each['message']}" for each in messages]

    return found
