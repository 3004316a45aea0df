"""Fixtures for every test, in `tests/` and in the apps; `serving.testing` has those that open the lifespans."""

from typing import Any

import pytest
from django.contrib.auth import get_user_model

pytest_plugins = ["serving.testing", "tests.own_warnings"]


@pytest.fixture
def user(db: None) -> Any:
    """A person with a password, "open sesame"."""
    return get_user_model().objects.create_superuser("ada", "ada@example.com", "open sesame")
