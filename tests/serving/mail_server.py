"""A mail server on a free port, which keeps what it is sent: aiosmtpd, and one that does not behave.

with MailServer() as server:
    ...
    (mail,) = server.mails
"""

import socket
import ssl
import subprocess
import threading
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import partial
from pathlib import Path
from typing import Any, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, Session

USER, PASSWORD = "ada@shop.example", "open/sesame?50%+#@:x"


class MailServer(Controller):
    """Takes mail; `answers` replaces its answer to a command or, after a colon, to that with this text in it.

    Further options are aiosmtpd's: https://aiosmtpd.aio-libs.org/en/latest/smtp.html
    """

    def __init__(self, answers: dict[str, str] | None = None, **options: Any) -> None:
        self.mails: list[EmailMessage] = []
        self.senders: list[str] = []
        self.logins: list[bytes] = []
        self.secure: list[bool] = []
        self._answers = answers or {}
        if options.get("auth_required") or "AUTH" in self._answers:
            options |= {"authenticator": self.check}
        # Made here, since a client could be given none that is free by the time that it listens.
        self.listener = socket.create_server(("127.0.0.1", 0))
        super().__init__(self, hostname="127.0.0.1", port=self.listener.getsockname()[1], **options)

    def _create_server(self) -> Any:
        return self.loop.create_server(
            self._factory_invoker, sock=self.listener, ssl=self.ssl_context
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def check(
        self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any
    ) -> AuthResult:
        """Whether a login is the right one."""
        self.logins.append(data.password)
        message = self._answers.get("AUTH")
        right = (data.login.decode(), data.password.decode()) == (USER, PASSWORD)
        return AuthResult(success=right and not message, handled=False, message=message)

    def answer(self, command: str, text: str = "") -> str | None:
        given = ((*key.partition(":"), said) for key, said in self._answers.items())
        return next(
            (said for name, _, part, said in given if name == command and part in text), None
        )

    async def handle_MAIL(
        self, server: Any, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if said := self.answer("MAIL", address):
            return said
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(
        self, server: Any, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if said := self.answer("RCPT", address):
            return said
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Session, envelope: Envelope) -> str:
        if said := self.answer("DATA"):
            return said
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        self.senders.append(str(envelope.mail_from))
        self.secure.append(session.ssl is not None or self.ssl_context is not None)
        return "250 OK"


class Silent:
    """Says these lines, one after each that it is sent, the first at once; then nothing, and stays connected."""

    def __init__(self, *lines: str) -> None:
        self._lines = lines
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self.connected = threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._listener.close()
        for connection in self._open:
            connection.close()

    def _serve(self) -> None:
        try:
            while True:
                connection, _ = self._listener.accept()
                self._open.append(connection)
                self.connected.set()
                threading.Thread(target=self._speak, args=(connection,), daemon=True).start()
        except OSError:
            return

    def _speak(self, connection: socket.socket) -> None:
        try:
            with connection.makefile("rwb") as file:
                for line in self._lines:
                    file.write(f"{line}\r\n".encode())
                    file.flush()
                    file.readline()
                for _ in iter(partial(file.readline), b""):
                    pass
        except (OSError, ValueError):
            return


def certificate(folder: Path, host: str = "IP:127.0.0.1") -> tuple[ssl.SSLContext, Path]:
    """What a server needs to speak TLS as this host, and the file that a client is to trust."""
    key, made = folder / "server.key", folder / "server.crt"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", key,
         "-out", made, "-subj", "/CN=mail", "-addext", f"subjectAltName={host}"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made, key)
    return context, made
