"""Fixtures for every test, in `tests/` and in the apps. `client` and its like carry the lifespans' state."""

import pytest

from accounts.models import User

pytest_plugins = ["serving.testing", "tests.own_warnings"]


@pytest.fixture
def user(db: None) -> User:
    """A person with a password, "open sesame"."""
    return User.objects.create_superuser("ada", "ada@example.com", "open sesame")
