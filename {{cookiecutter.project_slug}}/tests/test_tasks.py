"""Background tasks: the mail of a password reset, run at once, and by a worker."""

from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.tokens import default_token_generator
from django.core import mail
from django.test import override_settings
from django.utils.translation import get_language, override

from accounts.forms import PasswordResetForm
from accounts.models import User

pytestmark = pytest.mark.skipif(not apps.is_installed("django_ox"), reason="no tasks are wanted")

WORKER = {"default": {"BACKEND": "serving.tasks.backend.TaskBackend"}}


def ask_for_reset(address: str) -> None:
    """As the page does with its form."""
    form = PasswordResetForm({"email": address})
    assert form.is_valid()
    form.save(domain_override="tea.example", use_https=True)


def test_a_reset_is_mailed(user: User) -> None:
    ask_for_reset("ada@example.com")

    (sent,) = mail.outbox
    assert sent.to == ["ada@example.com"]
    link = next(line for line in str(sent.body).splitlines() if line.startswith("https://"))
    *_, token, _ = link.split("/")
    assert default_token_generator.check_token(user, token)


@pytest.mark.django_db
def test_nobody_else_is_mailed() -> None:
    ask_for_reset("bob@example.com")

    assert mail.outbox == []


@override_settings(TASKS=WORKER)
@pytest.mark.parametrize("changed", ["email", "password"])
def test_a_reset_that_was_asked_for_ends_as_a_link_does(user: User, changed: str) -> None:
    """Else it goes to a mailbox that is not the user's any more, or opens the door once more."""
    from django_ox.testing import run_tasks

    ask_for_reset("ada@example.com")
    setattr(user, changed, "another")
    user.save()
    run_tasks()
    assert mail.outbox == []


@override_settings(TASKS=WORKER)
def test_a_worker_mails_it_later_and_the_queue_holds_no_token(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django_ox.models import OxTask
    from django_ox.testing import run_tasks

    tokens: list[str] = []
    make = default_token_generator.make_token

    def noted(of: Any) -> str:
        assert get_language() == "de", "the visitor's, in the worker"
        tokens.append(make(of))
        return tokens[-1]

    with override("de"):
        ask_for_reset("ada@example.com")

    assert mail.outbox == []
    row = OxTask.objects.get()
    assert row.status == OxTask.Status.READY
    monkeypatch.setattr(default_token_generator, "make_token", noted)
    run_tasks()
    (sent,) = mail.outbox
    assert tokens[-1] in sent.body
    assert not [token for token in tokens if token in str([row.args, row.kwargs])]
