"""Mails the log's errors to ADMINS, from a thread: no request waits for a mail server.

What is mailed is what the log shows, without secrets. Django's own handler would mail the request's form and
cookies and the settings, and has the request wait: https://docs.djangoproject.com/en/6.1/howto/error-reporting/
"""

import logging
import re
import threading
from contextlib import suppress
from queue import Empty, SimpleQueue

from serving.log.filters import is_clients
from serving.log.formats import ConsoleFormatter, printable
from serving.log.redaction import Secrets

logger = logging.getLogger(__name__)

INTERVAL = 60.0  # seconds between two mails of a process, so that a fault fills no mailbox
KEPT = 50  # errors, until the next mail
AT_END = 5.0  # seconds that the end of a process waits for the mail server
LONGEST_SUBJECT = 120  # letters

COLOUR = re.compile(r"\x1b\[[\d;]*m")  # of the formatter's own: it escapes others


class AdminMailHandler(logging.Handler):
    """Mails the first error at once, and those that come within INTERVAL after it together."""

    def __init__(self, level: int | str = logging.ERROR) -> None:
        super().__init__(level)
        self.setFormatter(ConsoleFormatter())
        self._hidden_in = Secrets().hidden_in
        self._queue: SimpleQueue[tuple[str, str] | None] = SimpleQueue()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._lost = 0  # errors, since the last mail

    def emit(self, record: logging.LogRecord) -> None:
        if threading.current_thread() is self._thread:
            return  # what fails to be mailed is not mailed
        if is_clients(record):
            return  # a stranger's, who makes as many as he likes
        try:
            message = printable(record.getMessage()).replace("\n", " ")
            subject = self._hidden_in(f"{record.levelname}: {message}")[:LONGEST_SUBJECT]
            text = COLOUR.sub("", self.format(record))
        except Exception:
            self.handleError(record)
            return
        if self._queue.qsize() >= KEPT:
            self._lost += 1
            return
        self._queue.put((subject, text))
        if not (self._thread and self._thread.is_alive()):
            self._thread = threading.Thread(target=self._run, name="mail to ADMINS", daemon=True)
            with suppress(RuntimeError):  # a process that ends starts none
                self._thread.start()

    def close(self) -> None:
        """Mails what is left; waits for AT_END at most."""
        self._ended.set()
        self._queue.put(None)
        if self._thread and self._thread.is_alive():
            self._thread.join(AT_END)
        super().close()

    def _run(self) -> None:
        """Mails until the handler is closed."""
        while first := self._queue.get():
            errors = [first, *self._waiting()]
            lost, self._lost = self._lost, 0
            self._mail(errors, lost)
            self._ended.wait(INTERVAL)

    def _waiting(self) -> list[tuple[str, str]]:
        found = []
        with suppress(Empty):
            while error := self._queue.get_nowait():
                found.append(error)
            self._queue.put(None)  # the end, which _run is to see
        return found

    def _mail(self, errors: list[tuple[str, str]], lost: int) -> None:
        from django.core.mail import mail_admins

        subject, more = errors[0][0], len(errors) - 1 + lost
        texts = [text for _, text in errors]
        if lost:
            texts.append(f"{lost} more are in the log.")
        try:
            mail_admins(subject + (f" (and {more} more)" if more else ""), "\n\n".join(texts))
        except Exception as error:
            logger.warning("%d errors were not mailed to ADMINS: %s", len(errors), error)
