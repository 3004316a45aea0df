"""`make dev` in a terminal: a quiet log, the error in the browser while code is broken, `breakpoint()`."""

import os
import re
import signal
import termios
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx
import pexpect
import pytest

from tests.conftest import Serve
from tests.support.owner import Owner
from tests.support.server import PATIENCE, dev_variables, free_port, wait_for


class Dev:
    """`make dev` at a terminal of its own, and a browser beside it."""

    def __init__(self, owner: Owner, *arguments: str) -> None:
        self.project = owner.project
        self.port = free_port()
        uv = f"UV={owner.variables['UV']}"
        self.terminal = pexpect.spawn(
            "make",
            ["--no-print-directory", uv, "dev", f"PORT={self.port}", *arguments],
            cwd=str(owner.project),
            env=owner.variables | {"TERM": "dumb"},
            encoding="utf-8",
            timeout=PATIENCE,
            dimensions=(60, 200),
        )
        self.output = (owner.project.parent / "terminal.log").open("w")
        self.terminal.logfile_read = self.output
        self.browser = ThreadPoolExecutor()

    @property
    def shown(self) -> str:
        """Everything that the terminal has shown so far, as far as it was read."""
        self.output.flush()
        return Path(self.output.name).read_text().replace("\r\n", "\n")

    def started(self) -> "Dev":
        """Waits until a worker has started."""
        self.terminal.expect("Started worker-1")
        wait_for(lambda: self.get("/livez") is not None, "an answer")
        return self

    def get(self, path: str) -> httpx.Response | None:
        """A page; None while nobody listens."""
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=PATIENCE)
        except httpx.TransportError:
            return None

    def asks(self, path: str) -> "Future[httpx.Response | None]":
        """A page that is asked for meanwhile."""
        return self.browser.submit(self.get, path)

    def page(self, fits: Callable[[httpx.Response], bool], what: str) -> httpx.Response:
        """The first page, once it is as expected."""

        def page() -> httpx.Response | None:
            answer = self.get("/")
            return answer if answer is not None and fits(answer) else None

        found = wait_for(page, what)
        assert found is not None
        return found

    def edit(self, file: str, old: str, new: str) -> None:
        """Replaces the first such text of a file, and waits for the worker that has read it."""
        path = self.project / file
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))
        self.terminal.expect("Changes detected")
        self.started()

    def close(self) -> None:
        """Ends it, whatever it does."""
        if self.terminal.isalive() and self.terminal.pid:
            os.killpg(self.terminal.pid, signal.SIGKILL)
        self.terminal.close(force=True)
        self.browser.shutdown(cancel_futures=True)
        self.output.close()


type Terminal = pexpect.spawn[str]
type Start = Callable[..., Dev]


@pytest.fixture
def start(project: Path, environment: Path) -> Iterator[Start]:
    """Starts `make dev`: `start("LOG_LEVEL=debug")`."""
    running: list[Dev] = []

    def start_one(*arguments: str) -> Dev:
        running.append(Dev(Owner(project, environment), *arguments))
        return running[-1].started()

    yield start_one
    for each in running:
        each.close()


# The log


def test_it_shows_what_happens_and_no_more(start: Start) -> None:
    dev = start()
    assert dev.get("/")
    dev.edit("home/views.py", "The first page", "A first page")
    dev.page(lambda answer: answer.status_code == 200, "the page")
    _, _, log = dev.shown.partition("Listening at")

    assert "watchfiles" not in log
    assert "AUTH_USER_MODEL" not in log
    assert "http1_keep_alive" not in log
    lines = [line for line in log.splitlines()[1:] if line]
    words = r"(worker-1|home: (started|stopped)|Changes detected|Modified: .*/home/views\.py|GET /)"
    strange = [line for line in lines if not re.search(words, line)]
    assert not strange
    assert len(lines) < 20


def test_flags_and_settings_are_shown_when_asked_for(start: Start) -> None:
    dev = start("LOG_LEVEL=debug")
    assert "AUTH_USER_MODEL = 'accounts.User'" in dev.shown
    assert "SECRET_KEY = '********'" in dev.shown
    assert "http1_keep_alive = True" in dev.shown


# Broken code

MISTAKES = {
    "a view that cannot be read": ("home/views.py", "def index(", "def (", "SyntaxError: invalid syntax"),
    "a view that cannot be imported": ("home/views.py", "import asyncio\n", "import asyncio, nosuch\n", "ModuleNotFoundError: No module named 'nosuch'"),
    "settings that cannot be read": ("config/settings.py", "DEBUG = ", "DEBUG = = ", "SyntaxError: invalid syntax"),
    "settings that fail": ("config/settings.py", "DEBUG = ", "import nosuch\nDEBUG = ", "ModuleNotFoundError: No module named 'nosuch'"),
    "an address of no module": ("config/urls.py", "home.urls", "home.nosuch", "ModuleNotFoundError: No module named 'home.nosuch'"),
    "a setting of the wrong kind": ("config/settings.py", '"DRAIN_TIMEOUT", 15', '"DRAIN_TIMEOUT", 15, least=1e9', "The environment holds values"),
    "an app that is not there": ("config/settings.py", '    "home",', '    "nosuch",\n    "home",', "ModuleNotFoundError: No module named 'nosuch'"),
}  # fmt: skip


def test_the_browser_shows_what_is_wrong_until_it_is_corrected(start: Start) -> None:
    dev = start()
    for mistake, (file, old, new, said) in MISTAKES.items():
        dev.edit(file, old, new)
        page = dev.page(lambda answer: answer.status_code == 500, f"the error of {mistake}")
        assert page.headers["content-type"] == "text/plain; charset=utf-8"
        first, *lines = page.text.splitlines()
        assert first.startswith("Django does not start: "), mistake
        assert said in f"{first}\n{lines[0]}", mistake
        assert any(said in line for line in dev.shown.splitlines()[-12:]), mistake

        dev.edit(file, new, old)
        dev.page(lambda answer: answer.status_code == 200, f"the page after {mistake}")


def test_elsewhere_what_does_not_start_ends_and_answers_nothing(
    project: Path, serve: Serve
) -> None:
    (project / "home" / "views.py").write_text("def (\n")
    server = serve(project, DEBUG="true")
    assert server.wait() != 0
    assert "SyntaxError" in server.log


# breakpoint()


def test_breakpoint_stops_in_sync_and_async_views(start: Start) -> None:
    dev = start()
    dev.edit(
        "home/views.py", "    return render(", "    tea = 6\n    breakpoint()\n    return render("
    )
    dev.edit(
        "home/views.py",
        "    started = facts.started_at",
        "    tea = 6\n    breakpoint()\n    started = facts.started_at",
    )
    for path in ("/", "/uptime/", "/"):
        answer = dev.asks(path)
        dev.terminal.expect(r"\(Pdb\) ")
        dev.terminal.sendline("print('tea is', tea * 7)")
        dev.terminal.expect("tea is 42")
        dev.terminal.expect(r"\(Pdb\) ")
        assert not answer.done()
        dev.terminal.sendline("c")
        page = answer.result(PATIENCE)
        assert page is not None
        assert page.status_code == 200


VIEWS = {
    "sync": ("/", "    return render(", "    breakpoint()\n    return render("),
    "async": (
        "/uptime/",
        "    started = facts.started_at",
        "    breakpoint()\n    started = facts.started_at",
    ),
}


def is_sane(terminal: Terminal) -> bool:
    """Whether it shows what is typed, and takes it line by line."""
    flags: int = termios.tcgetattr(terminal.child_fd)[3]
    return flags & termios.ECHO != 0 and flags & termios.ICANON != 0


@pytest.mark.parametrize("kind", VIEWS)
def test_an_edit_ends_a_debugger_that_waits(start: Start, kind: str) -> None:
    dev = start()
    path, old, new = VIEWS[kind]
    dev.edit("home/views.py", old, new)
    dev.asks(path)
    dev.terminal.expect(r"\(Pdb\) ")
    dev.edit("home/views.py", new, old)
    page = dev.get(path)
    assert page is not None
    assert page.status_code == 200
    assert is_sane(dev.terminal)


@pytest.mark.parametrize("kind", VIEWS)
def test_ctrl_c_at_a_debugger_ends_the_server_and_leaves_the_terminal_sane(
    start: Start, kind: str
) -> None:
    dev = start()
    path, old, new = VIEWS[kind]
    dev.edit("home/views.py", old, new)
    dev.asks(path)
    dev.terminal.expect(r"\(Pdb\) ")
    dev.terminal.sendintr()
    dev.terminal.expect(pexpect.EOF)
    wait_for(lambda: not dev.terminal.isalive(), "the end of make")
    assert is_sane(dev.terminal)


def test_without_a_terminal_breakpoint_says_so(project: Path, serve: Serve) -> None:
    views = project / "home" / "views.py"
    views.write_text(
        views.read_text().replace("    return render(", "    breakpoint()\n    return render(")
    )
    server = serve(project, **dev_variables(project)).ready()  # in a session of its own
    page = server.get("/")
    assert page.status_code == 500
    said = "breakpoint(): this server has no terminal to type in; start it in one"
    assert f"RuntimeError: {said}" in server.log
    assert said in page.text.replace("&#x27;", "'")
