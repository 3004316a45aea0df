"""Makes what the views read and somebody who is logged in; prints what the load needs to know."""

import json
from typing import Any

from bench.models import Row
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
from django.contrib.sessions.backends.db import SessionStore
from django.core.management.base import BaseCommand
from django.templatetags.static import static


class Command(BaseCommand):
    help = (
        "Makes what the views read; prints the cookie of a session and the path of a static file."
    )

    def handle(self, **options: Any) -> None:
        Row.objects.bulk_create(Row(name=f"row {number}") for number in range(1, 101))
        user = get_user_model().objects.create_user("ada")
        session = SessionStore()
        session[SESSION_KEY] = str(user.pk)
        session[BACKEND_SESSION_KEY] = "serving_tools.login_limits.backends.LimitedModelBackend"
        session[HASH_SESSION_KEY] = user.get_session_auth_hash()
        session.create()
        found = {"session": session.session_key, "static": static("site.css")}
        self.stdout.write(json.dumps(found))
