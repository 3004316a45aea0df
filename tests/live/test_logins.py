"""docs/logins.md and docs/second-factor.md on real servers: limits over workers and behind a proxy, the admin's path, a second factor."""

import base64
import hashlib
import hmac
import re
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from tests.conftest import ROOT, Run, Serve, add_ada, bake_into
from tests.support import readme
from tests.support.server import PATIENCE, Server, server_environment
from tests.support.services import Postgres
from tests.support.sites import program, put_site

PAGE = ROOT / "docs" / "second-factor.md"
RIGHT = "open sesame"


@pytest.fixture(params=["sqlite", "postgres"])
def shop(
    request: pytest.FixtureRequest, project: Path, tmp_path: Path, run: Run
) -> Iterator[tuple[Path, dict[str, str]]]:
    """A project with doors and a user, and the variables of its server, of two workers."""
    variables = {"GRANIAN_WORKERS": "2", "TRUSTED_PROXIES": "127.0.0.1"}
    if request.param == "sqlite":
        put_site(project, "logins")
        add_ada(project, run)
        yield project, variables
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    yield made_with(postgres, tmp_path, run)
    postgres.query("DROP DATABASE logins WITH (FORCE)")


def made_with(postgres: Postgres, tmp_path: Path, run: Run) -> tuple[Path, dict[str, str]]:
    """The same, with PostgreSQL: its database is "logins"."""
    variables = {"GRANIAN_WORKERS": "2", "TRUSTED_PROXIES": "127.0.0.1"}
    postgres.query("CREATE DATABASE logins")
    made = bake_into(tmp_path, database="postgres", project_slug="my-shop")
    put_site(made, "logins")
    variables |= {"DATABASE_URL": postgres.url("logins"), "DJANGO_SUPERUSER_PASSWORD": RIGHT}
    environment = server_environment(made) | variables
    run(made, "python", "manage.py", "migrate", "--verbosity", "0", **environment)
    user = ("createsuperuser", "--noinput", "--username", "ada", "--email", "ada@example.com")
    run(made, "python", "manage.py", *user, **environment)
    run(made, "python", "manage.py", "collectstatic", "--noinput", "-v", "0", **environment)
    return made, variables


def enter(
    server: Server, name: str, password: str, address: str = "192.0.2.7", way: str = ""
) -> httpx.Response:
    """A login as a client at this address asks the proxy for it."""
    return httpx.post(
        f"{server.address}/enter{way}/",
        params={"username": name, "password": password},
        headers={"X-Forwarded-For": address},
        timeout=PATIENCE,
    )


def at_once(server: Server, *attempts: tuple[Any, ...]) -> Counter[int]:
    """How many of the attempts, made at the same time, are answered with which status."""
    with ThreadPoolExecutor(len(attempts)) as people:
        return Counter(people.map(lambda each: enter(server, *each).status_code, attempts))


def test_no_burst_to_several_workers_tries_more_passwords_than_the_limits(
    shop: tuple[Path, dict[str, str]], run: Run, serve: Serve
) -> None:
    project, variables = shop
    server = serve(project, **variables, LOGIN_LIMIT_ADDRESS="12").ready()

    ways = ["", "-async"] * 32
    right = [("ada", RIGHT, "192.0.2.9", way) for way in ways]
    assert at_once(server, *right) == {200: 64}, "who knows the password is not kept out"

    of_one = [("ada", f"wrong{number}", "192.0.2.7", way) for number, way in enumerate(ways)]
    assert at_once(server, *of_one) == {401: 5, 429: 59}
    assert enter(server, "ada", RIGHT).status_code == 429
    assert enter(server, "ada", RIGHT, "192.0.2.8").status_code == 200

    from_one = [(f"user{number}", "wrong", f"2001:db8::{number:x}") for number in range(40)]
    assert at_once(server, *from_one) == {401: 12, 429: 28}
    assert enter(server, "user1", "wrong", "2001:db8:0:1::1").status_code == 401

    unlock = ("python", "manage.py", "unlock", "ada", "--address", "2001:db8::1")
    environment = server_environment(project) | variables
    assert "unlocked" in run(project, *unlock, **environment).stdout
    assert enter(server, "ada", RIGHT).status_code == 200
    assert enter(server, "user1", "wrong", "2001:db8::1").status_code == 401
    refusals = server.messages("serving_tools.login_limits.limits")
    assert len(refusals) == 59 + 1 + 28
    assert server.stop() == 0
    assert "ERROR" not in server.log


def test_logins_of_many_from_many_addresses_do_not_wait_for_each_other(
    shop: tuple[Path, dict[str, str]], serve: Serve
) -> None:
    """Rows are locked in one order, and removed while others are counted: no deadlock, no error."""
    project, variables = shop
    server = serve(project, **variables, LOGIN_LIMIT_SECONDS="1").ready()
    names, addresses = ("ada", "bob", "cleo"), [f"192.0.2.{number}" for number in range(8)]
    passwords = ("wrong", RIGHT)
    for _ in range(3):
        attempts = list(product(names, passwords, addresses))
        assert at_once(server, *attempts).keys() <= {200, 401, 429}
    assert server.stop() == 0
    assert "ERROR" not in server.log


def test_what_a_request_rolls_back_is_counted_all_the_same(
    postgres: Postgres, tmp_path: Path, run: Run, serve: Serve
) -> None:
    project, variables = made_with(postgres, tmp_path, run)
    settings = project / "config" / "settings.py"
    atomic = 'DATABASES["default"]["ATOMIC_REQUESTS"] = True\n'
    settings.write_text(settings.read_text().replace("\n# The end:", f"\n{atomic}\n# The end:", 1))
    server = serve(project, **variables).ready()
    way = "-rolled-back"
    statuses = [enter(server, "ada", "wrong", way=way).status_code for _ in range(7)]
    assert statuses == [401] * 5 + [429] * 2
    assert enter(server, "ada", RIGHT, way=way).status_code == 429
    assert enter(server, "ada", RIGHT, "192.0.2.8", way).status_code == 200
    burst = [("ada", f"wrong{number}", "192.0.2.9", way) for number in range(32)]
    assert at_once(server, *burst) == {401: 5, 429: 27}
    counts = "SELECT max(under_way) FROM login_limits_loginfailures"
    assert postgres.query(counts, "logins") == ["0"]
    assert server.stop() == 0
    assert "ERROR" not in server.log
    postgres.query("DROP DATABASE logins WITH (FORCE)")


def test_a_new_password_and_an_attempt_do_not_wait_for_each_other(
    postgres: Postgres, tmp_path: Path, run: Run
) -> None:
    project, variables = made_with(postgres, tmp_path, run)
    variables |= {"DJANGO_SETTINGS_MODULE": "config.settings"}
    environment = server_environment(project) | variables
    done = run(project, "python", "-c", program("set_back_while_trying"), **environment)
    assert done.stdout.splitlines()[-1] == "0 0"
    postgres.query("DROP DATABASE logins WITH (FORCE)")


def test_new_passwords_are_hashed_by_argon2(project: Path, run: Run) -> None:
    add_ada(project, run)
    show = "from accounts.models import User; print(User.objects.get().password)"
    variables = server_environment(project)
    shown = run(project, "python", "manage.py", "shell", "--command", show, **variables).stdout
    assert "argon2$argon2id$v=19$m=19456,t=2,p=1$" in shown


# The admin's path


def test_the_admin_lies_where_its_variable_says(project: Path, serve: Serve) -> None:
    server = serve(project, ADMIN_PATH="staff/desk", DEBUG="true").ready()
    assert 'href="/staff/desk/"' in server.get("/").text
    assert server.get("/staff/desk/").headers["location"] == "/staff/desk/login/?next=/staff/desk/"
    assert server.get("/staff/desk/login/").status_code == 200
    assert server.get("/admin/").status_code == 404


def test_no_page_of_accounts_tells_where_the_admin_is(
    project: Path, run: Run, serve: Serve, open_browser: "OpenBrowser"
) -> None:
    """Django's pages to change a password are the admin's."""
    add_ada(project, run)
    server = serve(project, ADMIN_PATH="staff/desk").ready()
    ada = open_browser(server)
    page = ada.get("/accounts/password_change/")
    assert page.url.path == "/accounts/login/"
    page = ada.send_form(page, username="ada", password=RIGHT, next="/accounts/password_change/")
    assert page.url.path == "/accounts/password_change/"
    assert "Set the password" in page.text
    assert "desk" not in page.text
    new = {"new_password1": "green leaves", "new_password2": "green leaves"}
    page = ada.send_form(page, old_password=RIGHT, **new)
    assert page.url.path == "/accounts/password_change/done/"
    assert "Your new password is set." in page.text
    assert "desk" not in page.text
    assert "<a" not in page.text, "it leads nowhere"
    page = ada.get("/staff/desk/password_change/")
    assert "Set the password" in page.text
    assert ada.send_form(page, old_password="green leaves", **new).status_code == 200


def test_the_admin_hides_a_page_and_no_page_the_admin(project: Path, serve: Serve) -> None:
    server = serve(project, ADMIN_PATH="uptime").ready()
    assert server.get("/uptime/login/").status_code == 200
    assert server.get("/uptime/").headers["location"] == "/uptime/login/?next=/uptime/"


@pytest.mark.parametrize(
    "path", ["/admin", "admin/", "", "a b", "a//b", "../x", "livez", "static/x", "<x>"]
)
def test_a_path_that_can_be_none_is_refused(project: Path, run: Run, path: str) -> None:
    variables = server_environment(project) | {"ADMIN_PATH": path}
    done = run(project, "python", "manage.py", "check", check=False, **variables)
    assert done.returncode == 1
    assert f"ADMIN_PATH={path!r}: {path!r} " in done.stderr


# The second factor


@pytest.fixture
def guarded(project: Path, run: Run) -> Path:
    """A project with all that the page has one write, each where it says."""
    for _, name, text in readme.files(PAGE):
        file, body = project / name, text.partition("\n")[2]
        if name == "config/settings.py":
            settings = file.read_text()
            assert "\n# The end:" in settings
            body = settings.replace("\n# The end:", f"\n{body}\n# The end:", 1)
        file.write_text(body)
    (line,) = re.findall(r"the first line of `urlpatterns`: `(path\(.*?),`", PAGE.read_text())
    urls = project / "config" / "urls.py"
    start = "urlpatterns = [\n"
    assert start in urls.read_text()
    urls.write_text(urls.read_text().replace(start, f"{start}    {line},\n", 1))
    add_ada(project, run)
    variables = server_environment(project)
    run(project, "python", "manage.py", "collectstatic", "--noinput", "-v", "0", **variables)
    return project


def code(secret: str, step: int) -> str:
    """What an app on a phone shows some steps of half a minute after this one (RFC 6238)."""
    counter = struct.pack(">Q", int(time.time()) // 30 + step)
    digest = hmac.new(base64.b32decode(secret), counter, hashlib.sha1).digest()
    start = digest[-1] & 15
    (number,) = struct.unpack(">I", digest[start : start + 4])
    return f"{(number & 0x7FFFFFFF) % 10**6:06}"


class Browser(httpx.Client):
    """Fills in forms."""

    def send_form(self, page: httpx.Response, **fields: str) -> httpx.Response:
        """Sends a page's form to its own address, with the token that is in it."""
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
        assert token, page.text
        return self.post(page.url, data={**fields, "csrfmiddlewaretoken": token[1]})

    def send_code(self, page: httpx.Response, secret: str) -> httpx.Response:
        """Sends a code to a form; the next one, where that was used already."""
        for step in (0, 1, -1):
            answer = self.send_form(page, code=code(secret, step))
            if answer.url != page.url:
                return answer
        raise AssertionError(f"no code is taken: {answer.text}")


OpenBrowser = Callable[[Server], Browser]


@pytest.fixture
def open_browser() -> Iterator[OpenBrowser]:
    """A browser at a server's address."""
    with ExitStack() as opened:
        yield lambda server: opened.enter_context(
            Browser(base_url=server.address, follow_redirects=True, timeout=PATIENCE)
        )


def test_the_recipe_is_linted_typed_and_needs_no_migration_of_ours(
    guarded: Path, run: Run, tmp_path: Path
) -> None:
    run(guarded, "ruff", "check", "--no-cache")
    run(guarded, "ruff", "format", "--check", "--no-cache")
    run(guarded, "mypy", "--cache-dir", str(tmp_path / "mypy"), ".")
    variables = server_environment(guarded)
    run(guarded, "python", "manage.py", "makemigrations", "--check", "--dry-run", **variables)


def test_the_recipe_keeps_the_origin_of_a_store() -> None:
    """Whose pictures a page may show: `STORAGE_URL` puts it into the policy."""
    (line,) = re.findall(r"^SECURE_CSP.*$", PAGE.read_text(), re.MULTILINE)
    for given in ({}, {"img-src": ["'self'", "https://files.example"]}):
        policy: dict[str, list[str]] = {**given}
        exec(line, {"SECURE_CSP": policy, "CSP": SimpleNamespace(SELF="'self'")})  # noqa: S102
        assert policy["img-src"] == [*given.get("img-src", ["'self'"]), "data:"]


def test_staff_come_to_the_admin_with_a_second_factor_alone(
    guarded: Path, serve: Serve, open_browser: OpenBrowser
) -> None:
    server = serve(guarded).ready()
    ada = open_browser(server)

    page = ada.get("/admin/")
    assert page.url.path == "/account/login/"
    page = ada.send_form(page, login="ada", password=RIGHT)
    assert page.url.path == "/account/reauthenticate/", "to set up a factor asks for the password"
    assert ada.get("/admin/accounts/user/").url.path != "/admin/accounts/user/"
    page = ada.send_form(page, password=RIGHT)
    assert page.url.path == "/account/2fa/totp/activate/"
    assert "img-src 'self' data:" in page.headers["Content-Security-Policy"]
    secret = re.search(r'value="([A-Z2-7]{32})"', page.text)
    assert secret
    page = ada.send_form(page, code=code(secret[1], 0))
    assert page.url.path == "/account/2fa/recovery-codes/"
    page = ada.get("/admin/")
    assert page.url.path == "/account/2fa/reauthenticate/", "the session has not shown it yet"
    page = ada.send_code(page, secret[1])
    assert (page.url.path, page.status_code) == ("/admin/", 200)
    assert ada.get("/admin/accounts/user/").status_code == 200

    thief = open_browser(server)
    page = thief.send_form(thief.get("/admin/"), login="ada", password=RIGHT)
    assert page.url.path == "/account/2fa/authenticate/"
    assert thief.get("/admin/").url.path == "/account/2fa/authenticate/"
    page = thief.send_form(page, code="000000")
    assert (page.url.path, page.status_code) == ("/account/2fa/authenticate/", 200)
    assert thief.get("/admin/").url.path == "/account/2fa/authenticate/"

    again = open_browser(server)
    page = again.send_form(again.get("/admin/"), login="ada", password=RIGHT)
    page = again.send_code(page, secret[1])
    assert (page.url.path, page.status_code) == ("/admin/", 200)
    assert server.stop() == 0
    assert "ERROR" not in server.log


def set_up_factor(browser: Browser) -> str:
    """Ada's second factor, set up by a browser of hers; returns the secret that her phone has."""
    page = browser.send_form(browser.get("/admin/"), login="ada", password=RIGHT)
    page = browser.send_form(page, password=RIGHT)
    secret = re.search(r'value="([A-Z2-7]{32})"', page.text)
    assert secret
    page = browser.send_form(page, code=code(secret[1], 0))
    assert page.url.path == "/account/2fa/recovery-codes/"
    return secret[1]


def test_a_password_alone_takes_no_factor_away(
    guarded: Path, serve: Serve, open_browser: OpenBrowser
) -> None:
    put_site(guarded, "logins")
    server = serve(guarded).ready()
    secret = set_up_factor(open_browser(server))

    thief = open_browser(server)
    page = thief.get("/accounts/login/?next=/account/2fa/")
    assert (page.url.path, page.url.params["next"]) == ("/account/login/", "/account/2fa/")
    fields = {"username": "ada", "login": "ada", "password": RIGHT}
    form = fields | {"csrfmiddlewaretoken": thief.cookies["csrftoken"]}
    thief.post("/accounts/login/", data=form)
    assert "sessionid" not in thief.cookies, "Django's own login asks for no factor"

    assert thief.post(f"/enter/?username=ada&password={RIGHT}").text == "yes"
    paths = ("totp/deactivate/", "totp/activate/", "recovery-codes/generate/", "recovery-codes/")
    for path in (*paths, "recovery-codes/download/"):
        assert thief.get(f"/account/2fa/{path}").url.path == "/account/2fa/reauthenticate/"
    page = thief.get("/account/reauthenticate/")
    assert page.url.path == "/account/2fa/reauthenticate/"
    form = {"password": RIGHT, "csrfmiddlewaretoken": thief.cookies["csrftoken"]}
    page = thief.post("/account/reauthenticate/", data=form)
    assert page.url.path == "/account/2fa/reauthenticate/"
    form["csrfmiddlewaretoken"] = thief.cookies["csrftoken"]
    page = thief.post("/account/2fa/totp/deactivate/", data=form)
    assert page.url.path == "/account/2fa/reauthenticate/"

    again = open_browser(server)
    page = again.send_form(again.get("/admin/"), login="ada", password=RIGHT)
    page = again.send_code(page, secret)
    assert (page.url.path, page.status_code) == ("/admin/", 200), "her factor is still hers"


def test_the_recipe_mails_no_stranger_and_limits_its_links(
    guarded: Path, serve: Serve, open_browser: OpenBrowser
) -> None:
    server = serve(guarded, DEBUG="true").ready()
    visitor = open_browser(server)
    statuses = []
    for _ in range(6):
        page = visitor.get("/account/password/reset/")
        assert page.url.path == "/accounts/password_reset/"
        statuses.append(visitor.send_form(page, email="nobody@example.com").status_code)
    assert statuses == [200] * 5 + [429]
    form = {"email": "nobody@example.com", "csrfmiddlewaretoken": visitor.cookies["csrftoken"]}
    assert visitor.post("/account/password/reset/", data=form).url.path == (
        "/accounts/password_reset/"
    )
    assert "nobody@example.com" not in server.log


def test_the_admins_own_form_lets_nobody_in(
    guarded: Path, serve: Serve, open_browser: OpenBrowser
) -> None:
    server = serve(guarded).ready()
    ada = open_browser(server)
    token = ada.get("/account/login/").cookies["csrftoken"]
    form = {"username": "ada", "password": RIGHT, "csrfmiddlewaretoken": token}
    assert ada.post("/admin/login/", data=form).url.path == "/account/login/"
    assert "sessionid" not in ada.cookies


def test_a_session_of_another_login_view_lacks_the_factor(
    guarded: Path, run: Run, serve: Serve, open_browser: OpenBrowser
) -> None:
    put_site(guarded, "logins")
    server = serve(guarded).ready()
    ada = open_browser(server)
    assert ada.post(f"/enter/?username=ada&password={RIGHT}").text == "yes"
    assert ada.get("/admin/").url.path == "/account/reauthenticate/"
    make = "from accounts.models import User; User.objects.create_user('bob', password='{}')"
    variables = server_environment(guarded)
    run(guarded, "python", "manage.py", "shell", "-c", make.format(RIGHT), **variables)
    bob = open_browser(server)
    assert bob.post(f"/enter/?username=bob&password={RIGHT}").text == "yes"
    assert bob.get("/admin/").status_code == 403, "he is no staff"


def test_nobody_signs_up_and_the_limits_hold_for_allauths_page(
    guarded: Path, serve: Serve, open_browser: OpenBrowser
) -> None:
    server = serve(guarded).ready()
    ada = open_browser(server)
    page = ada.get("/account/signup/")
    assert "csrfmiddlewaretoken" not in page.text
    statuses = []
    for number in range(6):
        page = ada.send_form(ada.get("/account/login/"), login="ada", password=f"wrong{number}")
        statuses.append(page.status_code)
    assert statuses == [200] * 5 + [429]
    assert "Too many failed logins. Try again in 15 minutes." in page.text
    assert 0 < int(page.headers["Retry-After"]) <= 900
