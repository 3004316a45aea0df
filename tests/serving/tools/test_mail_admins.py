"""Errors by mail: soon, few, without secrets, and by nobody who waits for them."""

import logging
from collections.abc import Iterator

import pytest
from django.core import mail
from django.test import Client, override_settings
from serving_tools.mail import address, admins
from serving_tools.mail.admins import KEPT, AdminMailHandler

from tests.serving.mail_server import Silent

COMMON = "django.middleware.common.CommonMiddleware"
SECRET = "correct-horse-battery-staple"


@pytest.fixture
def logger(monkeypatch: pytest.MonkeyPatch) -> Iterator[logging.Logger]:
    monkeypatch.setenv("SHOP_PASSWORD", SECRET)
    monkeypatch.setenv("FORCE_COLOR", "1")
    logger = logging.getLogger("shop")
    handler = AdminMailHandler()
    logger.addHandler(handler)
    with override_settings(ADMINS=["ada@example.com"], EMAIL_SUBJECT_PREFIX="[Tea] "):
        yield logger
        handler.close()
    logger.removeHandler(handler)


def close(logger: logging.Logger) -> None:
    (handler,) = logger.handlers
    handler.close()


def test_an_error_is_mailed_as_the_log_shows_it_without_secrets(logger: logging.Logger) -> None:
    logger.warning("no error")
    try:
        raise ValueError(f"no tea for {SECRET}")
    except ValueError:
        logger.exception("order %s failed:\r\nBcc: eve@example.com", SECRET)
    close(logger)

    (sent,) = mail.outbox
    assert sent.to == ["ada@example.com"]
    assert sent.subject == r"[Tea] ERROR: order ******** failed:\r Bcc: eve@example.com"
    assert "ValueError: no tea for ********" in sent.body
    assert "Traceback" in sent.body
    assert SECRET not in sent.body
    assert "\x1b" not in sent.body


@pytest.mark.urls("home.urls")
def test_what_strangers_do_wrong_is_not_mailed(client: Client, logger: logging.Logger) -> None:
    (handler,) = logger.handlers
    django = logging.getLogger("django")
    django.addHandler(handler)
    try:
        with override_settings(ALLOWED_HOSTS=["tea.example"], MIDDLEWARE=[COMMON]):
            assert client.get("/uptime/", headers={"Host": "evil.example"}).status_code == 400
            assert client.get("/nowhere/", headers={"Host": "tea.example"}).status_code == 404
        refused = {"request": None, "status_code": 413}
        logging.getLogger("django.security.RequestDataTooBig").error("too large", extra=refused)
        logging.getLogger("django.request").error("broken", extra={"status_code": 500})
        logging.getLogger("shop").error("the bank says 404", extra={"status_code": 404})
    finally:
        django.removeHandler(handler)
    close(logger)

    assert "ERROR: broken" in mail.outbox[0].subject
    assert "(and 1 more)" in mail.outbox[0].subject or len(mail.outbox) == 2
    assert all("evil" not in sent.body and "large" not in sent.body for sent in mail.outbox)


def test_many_are_few_mails_and_none_is_forgotten(
    logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AdminMailHandler, "_run", lambda self: None)  # it would take the first
    for number in range(KEPT + 7):
        logger.error("order %d", number)
    monkeypatch.undo()
    monkeypatch.setattr(admins, "INTERVAL", 0)
    (handler,) = logger.handlers
    assert isinstance(handler, AdminMailHandler)
    handler._queue.put(None)
    handler._run()

    (sent,) = mail.outbox
    assert sent.subject == f"[Tea] ERROR: order 0 (and {KEPT + 6} more)"
    assert f"order {KEPT - 1}" in sent.body
    assert f"order {KEPT}" not in sent.body
    assert "7 more are in the log." in sent.body


def test_a_mail_that_fails_is_logged_and_not_mailed(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    root = logging.getLogger()
    (handler,) = logger.handlers
    root.addHandler(handler)
    try:
        with override_settings(MAILERS=address.NONE):
            logger.propagate = False
            logger.error("order 7")
            close(logger)
    finally:
        root.removeHandler(handler)
        logger.propagate = True

    assert mail.outbox == []
    assert [record.getMessage() for record in caplog.records if record.name == admins.__name__] == [
        "1 errors were not mailed to ADMINS: EMAIL_URL is not set, so no mail can be sent: set it, for example"
        " to smtp+starttls://user:password@mail.example:587"
    ]


def test_nobody_waits_for_a_server_that_hangs(
    logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admins, "AT_END", 0.1)
    with Silent() as server:
        by = address.mailers(f"smtp://127.0.0.1:{server.port}?timeout=300")
        with override_settings(MAILERS=by):
            logger.error("order 7")
            assert server.connected.wait(60)
            logger.error("order 8")
            close(logger)
