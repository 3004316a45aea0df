"""A real server that sends mail to a real mail server: a password is reset, errors reach ADMINS."""

import re
from pathlib import Path

import httpx
import pytest

from tests.conftest import Run, Serve, add_ada
from tests.serving.mail_server import PASSWORD, USER, MailServer, Silent, certificate
from tests.support.owner import Owner
from tests.support.server import Server, dev_variables, wait_for
from tests.support.sites import put_site

QUOTED = "open%2Fsesame%3F50%25%2B%23%40%3Ax"
RESET = "/accounts/password_reset/"


@pytest.fixture
def shop(project: Path, run: Run) -> Path:
    """A project in whose database "ada" has the password "open sesame"."""
    add_ada(project, run)
    return project


class Browser(httpx.Client):
    """Follows links and sends forms, as a person's does."""

    def __init__(self, server: Server) -> None:
        super().__init__(base_url=server.address, follow_redirects=True, timeout=60)

    def send_form(self, page: httpx.Response, **fields: str) -> httpx.Response:
        """Fills the page's form and sends it."""
        hidden = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page.text)
        headers = {"Referer": str(page.url), "Origin": str(self.base_url).rstrip("/")}
        return self.post(page.url, data=dict(hidden) | fields, headers=headers)


def ask_for_a_link(browser: Browser, address: str = "ada@example.com") -> httpx.Response:
    """From the admin's login page, by its link."""
    login = browser.get("/admin/login/")
    (link,) = re.findall(r'<a href="([^"]+)">Forgotten', login.text)
    assert link == RESET
    return browser.send_form(browser.get(link), email=address)


def test_a_password_is_reset_from_the_login_page_to_the_next_login(
    shop: Path, serve: Serve, tmp_path: Path
) -> None:
    context, trusted = certificate(tmp_path)
    with MailServer(tls_context=context, require_starttls=True, auth_required=True) as mail:
        (tmp_path / "url").write_text(
            f"smtp+starttls://{USER.replace('@', '%40')}:{QUOTED}@127.0.0.1:{mail.port}\n"
        )
        server = serve(
            shop, EMAIL_URL_FILE=str(tmp_path / "url"), SSL_CERT_FILE=str(trusted)
        ).ready()
        with Browser(server) as browser:
            sent = ask_for_a_link(browser)
            assert sent.url.path == "/accounts/password_reset/done/"
            assert ask_for_a_link(browser, "nobody@example.com").text == sent.text, "no word on who"
            (letter,) = mail.mails
            assert letter["To"] == "ada@example.com"
            assert letter["From"] == "noreply@example.com"
            assert letter["Subject"] == f"A new password for 127.0.0.1:{server.port}"
            (link,) = re.findall(
                r"^http://\S+$", letter.get_content().replace("\r", ""), re.MULTILINE
            )
            token = link.rstrip("/").rpartition("/")[2]

            page = browser.get(link)
            assert page.url.path.endswith("/set-password/"), "the token is in no Referer"
            refused = browser.send_form(page, new_password1="tea", new_password2="tea")
            assert "This password is too short" in refused.text
            assert 'class="errorlist"' in refused.text
            done = browser.send_form(
                refused, new_password1="green leaves", new_password2="green leaves"
            )
            assert done.url.path == "/accounts/reset/done/"
            assert "was used already" in browser.get(link).text, "a link works once"

            login = browser.get("/accounts/login/?next=/uptime/")
            old = browser.send_form(login, username="ada", password="open sesame")
            assert "enter a correct username and password" in old.text
            inside = browser.send_form(old, username="ada", password="green leaves")
            assert inside.url.path == "/uptime/"
            assert browser.get("/admin/").status_code == 200
    assert server.stop() == 0
    assert mail.logins == [PASSWORD.encode()]
    assert PASSWORD not in server.log
    assert QUOTED not in server.log
    assert token not in server.log
    assert '"url.path":"/accounts/reset/MQ/********/"' in server.log


def reset_errors(server: Server) -> list[dict[str, str]]:
    """The records of resets whose mail could not be sent."""
    return [each for each in server.records if each["log.logger"] == "django.contrib.auth"]


def test_a_mail_server_that_hangs_holds_up_nobody_else_and_shows_no_secret(
    shop: Path, serve: Serve
) -> None:
    with Silent("220 mail") as silent:
        url = f"smtp://ada:hunter2hunter2@127.0.0.1:{silent.port}?timeout=1"
        server = serve(shop, EMAIL_URL=url).ready()
        with Browser(server) as browser:
            assert ask_for_a_link(browser).url.path == "/accounts/password_reset/done/"
        assert silent.connected.is_set()
        server.wait_for_log("Failed to send password reset email")
        assert server.stop() == 0
    (record,) = reset_errors(server)
    assert record["error.type"] == "SMTPServerDisconnected"
    assert record["error.message"] == (
        f"the mail server 127.0.0.1:{silent.port} did not answer within 1 s: look at it, at firewalls in"
        " between, and at scheme, host and port in EMAIL_URL"
    )
    assert record["error.stack_trace"].count("Traceback") == 1
    assert "hunter2" not in server.log


def test_without_a_mail_server_a_reset_fails_in_the_log(shop: Path, serve: Serve) -> None:
    server = serve(shop, EMAIL_URL="").ready()
    with Browser(server) as browser:
        ask_for_a_link(browser)
    server.wait_for_log("Failed to send password reset email")
    (record,) = reset_errors(server)
    assert record["log.level"] == "ERROR"
    assert record["error.message"].startswith(
        "EMAIL_URL is not set, so no mail can be sent: set it"
    )


def test_development_prints_mail_with_its_link_on_one_line(shop: Path, serve: Serve) -> None:
    server = serve(shop, **dev_variables(shop)).answering()
    with Browser(server) as browser:
        ask_for_a_link(browser)
        server.wait_for_log("If it was not you")
        (link,) = re.findall(r"^http://127.0.0.1:\S+/$", server.log, re.MULTILINE)
        assert browser.get(link).url.path.endswith("/set-password/")
    assert "To: ada@example.com\n" in server.log


def test_errors_reach_admins_without_secrets_and_no_request_waits_for_it(
    shop: Path, serve: Serve
) -> None:
    put_site(shop, "breaks")
    secrets = {"TEA_PASSWORD": "green-leaves", "ADMINS": "ada@example.com, bob@example.com"}
    with MailServer() as mail:
        server = serve(shop, EMAIL_URL=f"smtp://127.0.0.1:{mail.port}", **secrets).ready()
        own_id = "0123456789abcdef"
        card, headers = {"card": "4111"}, {"X-Request-ID": own_id, "Cookie": "a=biscuit"}
        for number in range(3):
            path = f"{server.address}/breaks/?n={number}"
            assert httpx.post(path, data=card, headers=headers).status_code == 500
        wait_for(lambda: mail.mails, "a mail")
        assert server.stop() == 0
    first, *others = mail.mails
    assert first["To"] == "ada@example.com, bob@example.com"
    assert first["From"] == "noreply@example.com"
    assert first["Subject"].startswith("[My Project] ERROR: Internal Server Error: /breaks/")
    text = "".join(each.get_content() for each in mail.mails)
    assert len(others) <= 1, "one at once, and one with the rest at the end"
    assert text.count("RuntimeError: no tea for ********") == 3
    assert text.count(f"[{own_id}]") == 3
    for secret in ("green-leaves", "4111", "biscuit"):
        assert secret not in text

    with Silent() as silent:
        server = serve(
            shop, EMAIL_URL=f"smtp://127.0.0.1:{silent.port}?timeout=300", **secrets
        ).ready()
        assert httpx.post(f"{server.address}/breaks/").status_code == 500
        assert silent.connected.wait(60)
        assert httpx.post(f"{server.address}/breaks/").status_code == 500, (
            "though nothing is mailed"
        )
        assert server.get("/uptime/").status_code == 200
        assert server.stop() == 0
        assert not server.killed_a_worker


def test_a_page_of_error_in_development_shows_no_password(shop: Path, serve: Serve) -> None:
    put_site(shop, "breaks")
    url = "smtps://ada:hunter2hunter2@mail.example"
    server = serve(shop, EMAIL_URL=url, TEA_PASSWORD="x", DEBUG="true").ready()
    page = httpx.post(f"{server.address}/breaks/")
    assert page.status_code == 500
    assert "mail.example" in page.text, "the settings are shown"
    assert "hunter2" not in page.text


def test_make_mail_sends_to_whom_it_is_told(shop: Path, environment: Path) -> None:
    owner = Owner(shop, environment)
    with MailServer() as mail:
        url = f"smtp://127.0.0.1:{mail.port}"
        done = owner.make("mail", "TO=bob@example.com", EMAIL_URL=url)
    assert done.stdout == f"the mail server 127.0.0.1:{mail.port} has taken the mail\n"
    assert mail.mails[0]["To"] == "bob@example.com"
    said = owner.make("mail", "TO=bob@example.com", check=False, EMAIL_URL=url).stdout
    assert said.startswith(
        f"CommandError: the mail server 127.0.0.1:{mail.port} refuses connections:"
    )
    said = owner.make("mail", "TO=bob@example.com", check=False).stdout
    assert said.startswith("manage.py: EMAIL_URL is not set, so no mail can be sent: set it, for")
    assert "You must specify some email recipients" in owner.make("mail", check=False).stdout
