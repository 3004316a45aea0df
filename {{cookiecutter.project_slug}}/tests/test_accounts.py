import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import Client

from accounts.models import User


def test_the_projects_own_user_model_is_in_use() -> None:
    assert get_user_model() is User


@pytest.mark.django_db
def test_no_migration_is_missing() -> None:
    call_command("makemigrations", "--check", "--dry-run")


def test_login_to_the_admin(client: Client, user: User) -> None:
    page = client.get("/admin/")
    assert page.status_code == 302

    assert client.login(username="ada", password="open sesame")

    assert client.get("/admin/accounts/user/").status_code == 200
