"""How mail leaves: by SMTP, onto the console, or not at all; what fails is said in one line.

https://docs.djangoproject.com/en/6.1/topics/email/#email-backends
"""

import logging
import re
import socket
import ssl
from base64 import b64encode
from collections.abc import Sequence
from contextlib import suppress
from smtplib import (
    SMTP,
    SMTP_SSL,
    SMTPAuthenticationError,
    SMTPDataError,
    SMTPException,
    SMTPNotSupportedError,
    SMTPRecipientsRefused,
    SMTPResponseException,
    SMTPSenderRefused,
    SMTPServerDisconnected,
)
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage
from django.core.mail.backends import base, console, smtp

logger = logging.getLogger(__name__)

HIDDEN = "********"
LONGEST = 200  # letters of what a server says

NOT_SET = (
    "EMAIL_URL is not set, so no mail can be sent: set it, for example to"
    " smtp+starttls://user:password@mail.example:587"
)

WANTS_TLS = re.compile(r"(?i)\b(start)?tls\b|\bssl\b|encrypt")
WANTS_LOGIN = re.compile(r"(?i)\bauthenticat")

LOOK = "look at it, at firewalls in between, and at scheme, host and port in EMAIL_URL"


class SmtpBackend(smtp.EmailBackend):
    """Django's own, whose errors say in one line which server, what is wrong and what to do.

    They are of the types that smtplib and the network raise, with the same attributes. They lead to no
    traceback of smtplib, whose variables hold the password, and no text of theirs shows it.
    """

    @property
    def connection_class(self) -> type[SMTP]:
        return TlsClient if self.use_ssl else Client

    def open(self) -> bool | None:
        """Raises OSError, of which smtplib's errors are a kind."""
        try:
            return super().open()
        except OSError as error:
            with suppress(OSError):
                self.close()
            raise self.told(error) from None

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Raises OSError, of which smtplib's errors are a kind; ValueError for what is no address."""
        try:
            return super().send_messages(email_messages)
        except OSError as error:
            raise self.told(error) from None

    def told(self, error: OSError) -> OSError:
        """The error, or one of its type, with one line as its text and no traceback of its own."""
        if vars(error).get("is_told"):
            return error
        line = f"the mail server {self.host}:{self.port} {self.reason(error)}"
        if not isinstance(error, SMTPException):
            try:
                told = type(error)(line)
            except TypeError:
                told = OSError(line)
            told.strerror = line  # which is the text of an SSLError
        else:
            told = error
            told.args = (line,)
        vars(told)["is_told"] = True
        return told.with_traceback(None)

    def reason(self, error: OSError) -> str:
        """What is wrong, and what to do about it."""
        look = "write smtps:// in EMAIL_URL" if self.port == 465 and not self.use_ssl else LOOK
        if isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError):
            return f"did not answer within {self.timeout:g} s: {look}"
        match error:
            case socket.gaierror():
                return "has a name that is not found: correct the host in EMAIL_URL"
            case ConnectionRefusedError():
                return "refuses connections: start it, or correct host and port in EMAIL_URL"
            case ssl.SSLCertVerificationError():
                return (
                    f"has a certificate that is not accepted ({error.verify_message}): correct the host in"
                    " EMAIL_URL, or name the file of your own CA in SSL_CERT_FILE"
                )
            case ssl.SSLError() if self.use_ssl:
                return (
                    "does not begin with TLS: write smtp+starttls:// in EMAIL_URL, or correct the port"
                    f" ({error.reason})"
                )
            case ssl.SSLError():
                return f"fails at TLS ({error.reason}): look at its log"
            case SMTPNotSupportedError() if "STARTTLS" in str(error):
                return "offers no STARTTLS: write smtps:// in EMAIL_URL, or smtp://, which is not encrypted"
            case SMTPNotSupportedError() if "AUTH" in str(error):
                return "takes no login here: write smtp+starttls:// or smtps://, or no user, in EMAIL_URL"
            case SMTPRecipientsRefused():
                code, text = next(iter(error.recipients.values()))
                return self.refusal(code, text, "recipient", "correct the address")
            case SMTPResponseException():
                return self.refusal(error.smtp_code, error.smtp_error, *refused(error))
            case SMTPServerDisconnected() | ConnectionError():
                return f"closed the connection: {look}"
        return f"can't be used: {type(error).__name__}: {self.shown(str(error))}"

    def refusal(self, code: int, text: bytes | str, what: str, fix: str) -> str:
        """What a server's answer comes to: what it refuses, and what to do about it.

        https://www.rfc-editor.org/rfc/rfc4954#section-6
        https://www.rfc-editor.org/rfc/rfc3207#section-4
        """
        said = self.shown(text.decode(errors="replace") if isinstance(text, bytes) else text)
        if 400 <= code < 500 and code != 454:
            fix = "try again later"
        elif not (self.use_ssl or self.use_tls) and WANTS_TLS.search(said):
            what, fix = "mail without TLS", "write smtp+starttls:// in EMAIL_URL"
        elif code == 530 or (not self.username and WANTS_LOGIN.search(said)):
            what, fix = "mail without a login", "write user and password into EMAIL_URL"
        return f"refuses the {what}: {fix} ({code} {said})"

    def shown(self, text: str) -> str:
        """What a server says, on one line."""
        return shown(text, self.username or "", self.password or "")


def shown(text: str, user: str, password: str) -> str:
    """What a server says, on one line, cut, and without the password: some repeat what they got."""
    pairs = (f"\0{user}\0{password}", f"{user}\0{user}\0{password}", password)
    for secret in (*(b64encode(pair.encode()).decode() for pair in pairs), password):
        text = text.replace(secret, HIDDEN) if secret else text
    return re.sub(r"\W*[\x00-\x1f\x7f-\x9f\u2028\u2029]\W*", " / ", text.strip())[:LONGEST]


def refused(error: SMTPResponseException) -> tuple[str, str]:
    """What a server refuses, by smtplib's name for the answer, and what to do about it."""
    match error:
        case SMTPAuthenticationError():
            return "login", "correct user and password in EMAIL_URL"
        case SMTPSenderRefused():
            fix = "set DEFAULT_FROM_EMAIL to one that it sends for"
            return f"sender {error.sender}", fix
        case SMTPDataError():
            return "mail", "its answer says why"
    return "connection", "its answer says why"


class Reporting(SMTP):
    """A client that logs which recipients of a mail were refused, where others were not."""

    user = password = ""  # smtplib sets both at a login

    def sendmail(self, *args: Any, **options: Any) -> dict[str, tuple[int, bytes]]:
        """What Django throws away: nobody would know that they do not get the mail."""
        refused = super().sendmail(*args, **options)
        for code, text in refused.values():
            said = shown(text.decode(errors="replace"), self.user, self.password)
            logger.warning("the mail server refuses a recipient of several: %s %s", code, said)
        return refused


class Client(Reporting):
    """Without TLS, or with STARTTLS."""


class TlsClient(Reporting, SMTP_SSL):
    """With TLS from the start."""


class ConsoleBackend(console.EmailBackend):
    """Prints mail as a person reads it.

    Django prints it as it would be sent, with a line end in the middle of each long link.
    """

    def write_message(self, message: EmailMessage) -> None:
        also = [each.mimetype or "a file" for each in getattr(message, "alternatives", [])]
        also += [str(getattr(each, "filename", None) or "a file") for each in message.attachments]
        lines = [
            f"Subject: {message.subject}",
            f"From: {message.from_email}",
            f"To: {', '.join(map(str, message.recipients()))}",
            "",
            str(message.body).strip(),
            *(f"[{each}]" for each in also),
        ]
        self.stream.write("\n".join([*lines, "-" * 79, ""]))


class NoServer(base.BaseEmailBackend):
    """Where EMAIL_URL is not set: refuses every mail."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Raises ImproperlyConfigured."""
        raise ImproperlyConfigured(NOT_SET)
