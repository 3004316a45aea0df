"""Fixtures for every test. `client` and `async_client` carry the lifespans' state."""

import pytest

from accounts.models import User

pytest_plugins = ["serving.testing"]


@pytest.fixture
def user(db: None) -> User:
    """A person with a password, "open sesame"."""
    return User.objects.create_superuser("ada", "ada@example.com", "open sesame")
