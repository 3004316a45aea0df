"""EMAIL_URL becomes MAILERS, or is refused by a text that shows nothing of it."""

from typing import Any

import pytest
from environs import ValidationError
from serving_tools.environment import check_address
from serving_tools.mail.address import CONSOLE, NONE, TIMEOUT, mailers

PLAIN: dict[str, Any] = {"use_tls": False, "use_ssl": False, "timeout": TIMEOUT}


def login(user: str, password: str) -> dict[str, str]:
    return {"username": user, "password": password}


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("smtp://mail.example", {"host": "mail.example", "port": 25}),
        ("smtp://mail.example:2525/", {"host": "mail.example", "port": 2525}),
        ("smtp://[::1]:1025", {"host": "::1", "port": 1025}),
        ("SMTP://Mail.Example", {"host": "mail.example", "port": 25}),
        (
            "smtp+starttls://ada:pw@mail.example",
            {"host": "mail.example", "port": 587, "use_tls": True, **login("ada", "pw")},
        ),
        (
            "smtps://ada@shop.example:a%2Fb%3Fc%23d%25e+f%40@mail.example:465",
            {"host": "mail.example", "port": 465, "use_ssl": True, **login("ada@shop.example", "a/b?c#d%e+f@")},
        ),
        ("smtp://ada:pw@localhost:1025", {"host": "localhost", "port": 1025, **login("ada", "pw")}),
        ("smtp://mail.example?timeout=2.5", {"host": "mail.example", "port": 25, "timeout": 2.5}),
    ],
)  # fmt: skip
def test_an_address_is_one_mailer(url: str, options: dict[str, Any]) -> None:
    assert mailers(url) == {
        "default": {
            "BACKEND": "serving_tools.mail.backends.SmtpBackend",
            "OPTIONS": PLAIN | options,
        }
    }


def test_an_address_prints_or_sends_nothing() -> None:
    assert mailers("console://") == CONSOLE
    assert mailers("") == NONE


BEGINS = "It begins with none of smtp+starttls://, smtps://, smtp://."


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mail.example:587", BEGINS),
        ("hunter2:x@mail.example:587", BEGINS),
        ("http://mail.example", BEGINS),
        ("console://x", BEGINS),
        ("smtp+tls://ada:hunter2@mail.example", "Write smtp+starttls:// in place of smtp+tls://."),
        ("smtp+ssl://ada:hunter2@mail.example", "Write smtps:// in place of smtp+ssl://."),
        ("submission://mail.example", "Write smtp+starttls:// in place of submission://."),
        ("smtp:mail.example", "It names no host."),
        ("smtp://", "It names no host."),
        ("smtps://ada:hunter2@", "It names no host. Within a password, write / as %2F, ? as %3F, @ as %40."),
        ("smtps://ada:hun/ter2@mail.example", "Not a mail server's address. Within a password, write /"),
        ("smtps://ada:1/hunter2@mail.example", "There is a path behind its host. Within a password, write /"),
        ("smtps://ada:2?hunter2@mail.example", "Its query may hold a timeout, and nothing else. Within a"),
        ("smtps://ada:hun#ter2@mail.example", "There is a # in it; write it as %23."),
        ("smtps://ada:hun ter2@mail.example", "There is a space in it; within a password, write it as %20."),
        ("smtps://ada:hun\nter2@mail.example", "There is a space in it"),
        ("smtps://ada:50%hunter2@mail.example", "There is a % in it; write it as %25."),
        ("smtps://ada:h%C3%BCnter2@mail.example", "has a letter that Python's smtplib can't send."),
        ("smtps://ada:hünter2@mail.example", "has a letter that Python's smtplib can't send."),
        ("smtp://ada:hunter2@mail.example", "It would send the password unencrypted; write smtp+starttls:// or smtps://."),
        ("smtps://hunter2@mail.example", "It has a user or a password, and not both."),
        ("smtps://:hunter2@mail.example", "It has a user or a password, and not both."),
        ("smtp://mail.example:0", "Its port is 0."),
        ("smtp://mail.example:65536", "Not a mail server's address."),
        ("smtp://mail.example:smtp", "Not a mail server's address."),
        ("smtp://mail.example?tls=hunter2", "Its query may hold a timeout, and nothing else."),
        ("smtp://mail.example?timeout=1&timeout=2", "Its query may hold a timeout, and nothing else."),
        ("smtp://mail.example?timeout=soon", "The timeout in its query is no number of seconds up to 300."),
        ("smtp://mail.example?timeout=0", "The timeout in its query is no number of seconds up to 300."),
        ("smtp://mail.example?timeout=301", "The timeout in its query is no number"),
        ("smtp://mail.example?timeout=nan", "The timeout in its query is no number"),
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(url: str, said: str) -> None:
    with pytest.raises(ValidationError) as raised:
        mailers(url)

    assert said in str(raised.value)
    assert "hunter2" not in str(raised.value)
    assert "mail.example" not in str(raised.value)


def test_an_address_of_a_person() -> None:
    for right in ("ada@example.com", "Tea & Co <tea@xn--bcher-kva.example>", "noreply@localhost"):
        check_address(right)
    for wrong in ("", "ada", "@example.com", "a b@c", "a@b\n", "a@b, c@d", "a@b\r\nBcc: c@d", "<>"):
        with pytest.raises(ValueError, match=r"is not an address of e-mail"):
            check_address(wrong)
