from typing import Any

import pytest
from django.db import connection


@pytest.fixture(autouse=True, scope="class")
def an_open_connection(django_db_setup: None, django_db_blocker: Any) -> None:
    """As an earlier test of the same process may leave it: whatever touches it needs the mark.

    Before a class is set up, since one of Django's may then let nobody connect.
    """
    with django_db_blocker.unblock():
        connection.ensure_connection()
