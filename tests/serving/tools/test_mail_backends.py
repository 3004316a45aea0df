"""Mail over real sockets: what arrives, and what is said where it does not."""

import logging
import smtplib
import ssl
import traceback
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMultiAlternatives, mailers, send_mail
from django.core.management import CommandError, call_command
from django.test import override_settings
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter
from serving_tools.checks import check_mail
from serving_tools.mail import address

from tests.serving.mail_server import PASSWORD, USER, MailServer, Silent, certificate

LOGIN = f"{quote(USER, safe='')}:{quote(PASSWORD, safe='')}@"


@contextmanager
def mail_by(url: str) -> Iterator[None]:
    with override_settings(MAILERS=address.mailers(url), DEFAULT_FROM_EMAIL="tea@shop.example"):
        yield


def send(*to: str) -> int:
    return send_mail("Grüße", "Tea is ready.", None, to or ("bob@example.com",))


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def trusted(tls: tuple[ssl.SSLContext, Path], monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """TLS of a server whose certificate is of a CA that the client knows."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tls[1]))
    return tls[0]


def test_plain() -> None:
    with MailServer() as server, mail_by(f"smtp://127.0.0.1:{server.port}"):
        assert send("bob@example.com", "eve@example.com") == 1

    (mail,) = server.mails
    assert (mail["Subject"], mail["From"]) == ("Grüße", "tea@shop.example")
    assert mail.get_content().strip() == "Tea is ready."
    assert server.senders == ["tea@shop.example"]
    assert server.secure == [False]


def test_starttls_and_a_login(trusted: ssl.SSLContext) -> None:
    server = MailServer(tls_context=trusted, require_starttls=True, auth_required=True)
    with server, mail_by(f"smtp+starttls://{LOGIN}127.0.0.1:{server.port}"):
        assert send() == 1

    assert server.logins == [PASSWORD.encode()]
    assert server.secure == [True]


def test_tls_from_the_start_and_a_login(trusted: ssl.SSLContext) -> None:
    server = MailServer(ssl_context=trusted, auth_required=True, auth_require_tls=False)
    with server, mail_by(f"smtps://{LOGIN}127.0.0.1:{server.port}"), mailers.default as mailer:
        for to in ("bob@example.com", "eve@example.com"):
            assert mailer.send_messages([EmailMultiAlternatives("x", "y", None, [to])]) == 1

    assert len(server.mails) == 2
    assert server.logins == [PASSWORD.encode()], "one connection"
    assert server.secure == [True, True]


def said(kind: type[Exception], *to: str) -> str:
    """What is said of a mail that can't be sent; no secret stands in it or can be found in its traceback."""
    with pytest.raises(kind) as raised:
        send(*to)
    error = raised.value
    line = str(error)
    page = ExceptionReporter(None, type(error), error, error.__traceback__).get_traceback_html()
    for shown in (line, page, "".join(traceback.format_exception(error))):
        for secret in (PASSWORD, LOGIN[:-1], b64encode(PASSWORD.encode()).decode()):
            assert secret not in shown
    assert "\n" not in line
    assert len("".join(traceback.format_exception(error)).split("Traceback")) == 2, "one traceback"
    return line


def refused_by(answers: dict[str, str], kind: type[Exception]) -> Callable[[], str]:
    def ask() -> str:
        with MailServer(answers) as server, mail_by(f"smtp://127.0.0.1:{server.port}"):
            return said(kind).removeprefix(f"the mail server 127.0.0.1:{server.port} ")

    return ask


@pytest.mark.parametrize(
    ("answers", "kind", "line"),
    [
        (
            {"MAIL": "530 5.7.0 Must issue a STARTTLS command first"},
            smtplib.SMTPSenderRefused,
            "refuses the mail without TLS: write smtp+starttls:// in EMAIL_URL"
            " (530 5.7.0 Must issue a STARTTLS command first)",
        ),
        (
            {"MAIL": "530 5.7.1 Authentication required"},
            smtplib.SMTPSenderRefused,
            "refuses the mail without a login: write user and password into EMAIL_URL"
            " (530 5.7.1 Authentication required)",
        ),
        (
            {"MAIL": "553 5.7.1 <tea@shop.example>: not owned by you"},
            smtplib.SMTPSenderRefused,
            "refuses the sender tea@shop.example: set DEFAULT_FROM_EMAIL to one that it sends for"
            " (553 5.7.1 <tea@shop.example>: not owned by you)",
        ),
        (
            {"RCPT": "554 5.7.1 Relay access denied"},
            smtplib.SMTPRecipientsRefused,
            "refuses the recipient: correct the address (554 5.7.1 Relay access denied)",
        ),
        (
            {"RCPT": "450 4.2.1 Mailbox busy\x1b[31m\x85now"},
            smtplib.SMTPRecipientsRefused,
            "refuses the recipient: try again later (450 4.2.1 Mailbox busy / 31m",
        ),
        (
            {"DATA": "554 5.6.0 " + "spam " * 100},
            smtplib.SMTPDataError,
            "refuses the mail: its answer says why (554 5.6.0 spam spam",
        ),
        (
            {"DATA": "421 4.3.2 Shutting down"},
            smtplib.SMTPDataError,
            "refuses the mail: try again later (421 4.3.2 Shutting down)",
        ),
    ],
)
def test_a_servers_refusal_is_one_line(
    answers: dict[str, str], kind: type[Exception], line: str
) -> None:
    found = refused_by(answers, kind)()
    assert found.startswith(line)
    assert len(found) < 330


def test_a_wrong_password_and_a_server_that_repeats_it(trusted: ssl.SSLContext) -> None:
    pair = b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
    answer = f"535 5.7.8 {pair} or {PASSWORD} is wrong"
    server = MailServer({"AUTH": answer}, tls_context=trusted)
    with server, mail_by(f"smtp+starttls://{LOGIN}127.0.0.1:{server.port}"):
        line = said(smtplib.SMTPAuthenticationError)

    assert line == (
        f"the mail server 127.0.0.1:{server.port} refuses the login: correct user and password in EMAIL_URL"
        " (535 5.7.8 ******** or ******** is wrong)"
    )


@pytest.mark.parametrize(
    ("url", "kind", "line"),
    [
        ("smtp://127.0.0.1:1", ConnectionRefusedError, "refuses connections: start it, or correct host and port in"),
        ("smtp://nowhere.invalid", OSError, "has a name that is not found: correct the host in EMAIL_URL"),
    ],
)  # fmt: skip
def test_nobody_is_there(url: str, kind: type[Exception], line: str) -> None:
    with mail_by(url):
        assert line in said(kind)


def test_tls_that_is_not_as_the_address_says(
    tls: tuple[ssl.SSLContext, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MailServer() as server:
        with mail_by(f"smtps://{LOGIN}127.0.0.1:{server.port}"):
            line = said(ssl.SSLError)
        assert "does not begin with TLS: write smtp+starttls:// in EMAIL_URL, or correct" in line
        with mail_by(f"smtp+starttls://{LOGIN}127.0.0.1:{server.port}"):
            line = said(smtplib.SMTPNotSupportedError)
        assert "offers no STARTTLS: write smtps:// in EMAIL_URL, or smtp://, which is not" in line
        with mail_by(f"smtp://{LOGIN}127.0.0.1:{server.port}"):
            line = said(smtplib.SMTPNotSupportedError)
        assert "takes no login here: write smtp+starttls:// or smtps://, or no user, in" in line
    with MailServer(tls_context=tls[0]) as server:
        with mail_by(f"smtp+starttls://{LOGIN}127.0.0.1:{server.port}"):
            line = said(ssl.SSLCertVerificationError)
        assert "has a certificate that is not accepted (self-signed certificate): correct" in line
        assert "SSL_CERT_FILE" in line
    context, file = certificate(tmp_path, "DNS:mail.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with MailServer(ssl_context=context) as server:
        with mail_by(f"smtps://{LOGIN}127.0.0.1:{server.port}"):
            line = said(ssl.SSLCertVerificationError)
        assert "IP address mismatch" in line
        with mail_by(f"smtp://127.0.0.1:{server.port}?timeout=0.2"):
            said(OSError)


EHLO = ("220 mail", "250 mail")


@pytest.mark.parametrize(
    "lines",
    [(), EHLO[:1], EHLO, (*EHLO, "250 OK", "250 OK"), (*EHLO, "250 OK", "250 OK", "354 go on")],
    ids=["greeting", "EHLO", "MAIL", "DATA", "the end"],
)
def test_a_server_that_hangs_is_given_up(lines: tuple[str, ...]) -> None:
    with Silent(*lines) as server, mail_by(f"smtp://127.0.0.1:{server.port}?timeout=0.2"):
        line = said(smtplib.SMTPServerDisconnected)
    assert line == (
        f"the mail server 127.0.0.1:{server.port} did not answer within 0.2 s: look at it, at firewalls in"
        " between, and at scheme, host and port in EMAIL_URL"
    )


def test_the_recipients_that_are_refused_beside_others_are_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    answers = {"RCPT:gone": "550 5.1.1 <gone@example.com>: no such user"}
    with MailServer(answers) as server, mail_by(f"smtp://127.0.0.1:{server.port}"):
        assert send("bob@example.com", "gone@example.com") == 1
        line = said(smtplib.SMTPRecipientsRefused, "gone@example.com")

    assert len(server.mails) == 1
    assert "refuses the recipient: correct the address (550 5.1.1" in line
    records = [each for each in caplog.records if each.name == "serving_tools.mail.backends"]
    assert [each.getMessage() for each in records] == [
        "the mail server refuses a recipient of several: 550 5.1.1 <gone@example.com>: no such user"
    ]
    assert records[0].levelno == logging.WARNING


def test_a_warning_of_one_recipient_shows_no_secret(
    trusted: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    pair = b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
    answers = {"RCPT:gone": f"550 5.1.1 {pair} or {PASSWORD} is wrong\x1b[31m"}
    server = MailServer(answers, tls_context=trusted, auth_required=True)
    with server, mail_by(f"smtp+starttls://{LOGIN}127.0.0.1:{server.port}"):
        assert send("bob@example.com", "gone@example.com") == 1
    (record,) = [each for each in caplog.records if each.name == "serving_tools.mail.backends"]
    assert record.getMessage().startswith(
        "the mail server refuses a recipient of several: 550 5.1.1 ******** or ******** is wrong /"
    )
    assert "\x1b" not in record.getMessage()


def test_an_error_keeps_its_attributes() -> None:
    with (
        MailServer({"DATA": "554 5.6.0 spam"}) as server,
        mail_by(f"smtp://127.0.0.1:{server.port}"),
        pytest.raises(smtplib.SMTPDataError) as raised,
    ):
        send()
    assert (raised.value.smtp_code, raised.value.smtp_error) == (554, b"5.6.0 spam")


def test_djangos_debug_page_hides_the_password() -> None:
    with mail_by("smtps://ada:hunter2hunter2@mail.example"):
        shown = SafeExceptionReporterFilter().get_safe_settings()

    assert "mail.example" in str(shown["MAILERS"])
    assert "hunter2" not in str(shown)


def test_the_console_shows_a_long_link_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    link = f"https://shop.example/accounts/reset/{'a' * 100}/"
    mail = EmailMultiAlternatives(
        "Grüße",
        f"Here:\n{link}\n",
        "tea@shop.example",
        ["bob@example.com"],
        bcc=["eve@example.com"],
    )
    mail.attach_alternative("<p>Here</p>", "text/html")
    mail.attach("tea.txt", "green")
    with mail_by("console://"):
        assert mail.send() == 1

    out = capsys.readouterr().out.splitlines()
    assert out[:7] == [
        "Subject: Grüße", "From: tea@shop.example", "To: bob@example.com, eve@example.com", "",
        "Here:", link, "[text/html]",
    ]  # fmt: skip
    assert out[7] == "[tea.txt]"


def test_without_a_server_sending_fails_and_a_deployment_is_warned() -> None:
    with mail_by(""):
        with pytest.raises(ImproperlyConfigured, match="EMAIL_URL is not set, so no mail can be"):
            send()
        (warning,) = check_mail()
        assert warning.id == "serving_tools.W004"
        assert "EMAIL_URL is not set" in warning.msg
    with mail_by("console://"):
        (warning,) = check_mail()
        assert "EMAIL_URL=console:// prints mail" in warning.msg
    with mail_by("smtp://mail.example"):
        assert check_mail() == []
    with override_settings(MAILERS={}):
        assert check_mail() == [], "Django says so itself"


def test_the_command_says_who_took_the_test_mail_or_why_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with MailServer() as server, mail_by(f"smtp://127.0.0.1:{server.port}"):
        call_command("sendtestemail", "bob@example.com")
        assert capsys.readouterr().out == (
            f"the mail server 127.0.0.1:{server.port} has taken the mail\n"
        )
        with pytest.raises(CommandError, match="Invalid address 'bob bob'"):
            call_command("sendtestemail", "bob bob")
    assert len(server.mails) == 1
    with (
        mail_by("smtp://127.0.0.1:1"),
        pytest.raises(CommandError, match=r"^the mail server 127.0.0.1:1 refuses conn"),
    ):
        call_command("sendtestemail", "bob@example.com")
