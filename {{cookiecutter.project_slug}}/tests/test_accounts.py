import asyncio
import re
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth import aauthenticate, authenticate, get_user_model
from django.core.mail import EmailMessage
from django.core.management import call_command
from django.test import Client, RequestFactory
from django.urls import reverse

from accounts.models import User


def test_the_projects_own_user_model_is_in_use() -> None:
    assert get_user_model() is User


@pytest.mark.django_db
def test_no_migration_is_missing() -> None:
    call_command("makemigrations", "--check", "--dry-run")


def test_a_password_is_reset_by_a_link_that_works_once(
    client: Client, user: User, mailoutbox: list[EmailMessage]
) -> None:
    client.post(reverse("password_reset"), {"email": "nobody@example.com"})
    assert not mailoutbox
    page = client.post(reverse("password_reset"), {"email": user.email}, follow=True)
    assert "on its way" in page.text
    (mail,) = mailoutbox
    assert mail.from_email == settings.DEFAULT_FROM_EMAIL
    (link,) = re.findall(r"^http://testserver(/\S+)$", str(mail.body), re.MULTILINE)

    form = client.get(link, follow=True).redirect_chain[-1][0]
    client.post(form, {"new_password1": "green leaves", "new_password2": "green leaves"})
    assert "was used already" in client.get(link).text
    page = client.post(reverse("login"), {"username": "ada", "password": "green leaves"})
    assert page.headers["Location"] == "/"


def test_login_to_the_admin(client: Client, user: User) -> None:
    page = client.get(reverse("admin:index"))
    assert page.status_code == 302

    assert client.login(username="ada", password="open sesame")

    assert client.get(reverse("admin:accounts_user_changelist")).status_code == 200


def test_too_many_failed_logins_are_refused_until_unlocked(client: Client, user: User) -> None:
    form = {"username": "ada", "password": "hunter2"}
    login, right = reverse("admin:login"), form | {"password": "open sesame"}
    for _ in range(settings.LOGIN_LIMIT):
        client.post(login, form)

    refused = client.post(login, right)
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= settings.LOGIN_LIMIT_SECONDS

    call_command("unlock", "ada")
    assert client.post(login, right).status_code == 302


@pytest.mark.django_db
def test_each_failed_login_is_logged_with_name_and_address_and_nothing_more(
    client: Client, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    form = {"username": "ada", "password": "hunter2"}
    for _ in range(2):
        client.post(reverse("admin:login"), form, REMOTE_ADDR="203.0.113.7")

    said = [record.getMessage() for record in caplog.records if record.name == "accounts.logins"]
    assert said == ["failed login of 'ada' from 203.0.113.7"] * 2
    assert {record.levelname for record in caplog.records} == {"WARNING"}
    assert "hunter2" not in caplog.text

    caplog.clear()
    client.post(reverse("admin:login"), {"username": "ada", "password": "open sesame"})
    assert not caplog.records


@pytest.mark.django_db(transaction=True)
def test_a_failed_login_in_async_code_is_logged_too(caplog: pytest.LogCaptureFixture) -> None:
    request = RequestFactory().get("/", REMOTE_ADDR="2001:db8::1")

    assert asyncio.run(aauthenticate(request, username="bob", password="hunter2")) is None

    assert caplog.messages == ["failed login of 'bob' from 2001:db8::1"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("credentials", "shown"),
    [
        ({"username": "ada"}, "'ada'"),
        ({"email": "ada@example.com"}, "'ada@example.com'"),
        ({"username": "a\nINFO logged in\x1b[31m"}, r"'a\nINFO logged in\x1b[31m'"),
        ({"username": "a" * 5000}, f"'{'a' * 100}...'"),
        ({"username": "Ünïcödé 名前"}, "'Ünïcödé 名前'"),
        ({"username": "' from 10.0.0.1"}, '"\' from 10.0.0.1"'),
        ({"token": "hunter2"}, "''"),
        ({"username": "", "pin": "hunter2"}, "''"),
        ({"username": "ada", "otp": "hunter2"}, "'ada'"),
        ({"username": "password=hunter2"}, "'password=********'"),
        ({"username": "ghp_hunter2hunter2hunter2hunter2"}, "'********'"),
        ({"username": 7}, "'7'"),
    ],
)
def test_a_name_is_shown_and_no_secret(
    caplog: pytest.LogCaptureFixture, credentials: dict[str, Any], shown: str
) -> None:
    assert authenticate(None, password="hunter2", **credentials) is None

    assert caplog.messages == [f"failed login of {shown} from an unknown address"]
    assert "hunter2" not in str(vars(caplog.records[0]))
