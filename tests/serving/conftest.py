import pytest
from django.db import connections


@pytest.fixture(autouse=True)
def an_open_connection(django_db_setup, django_db_blocker):
    """As an earlier test of the same process may leave it: whatever touches it needs the mark.

    Without it a test that lacks the mark passes or fails with the order of all.
    """
    with django_db_blocker.unblock():
        for connection in connections.all():
            connection.ensure_connection()
