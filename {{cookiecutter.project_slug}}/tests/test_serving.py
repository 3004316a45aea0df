"""The server starts, is ready, serves a page and stops."""

import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from urllib.error import URLError
{% if cookiecutter.database == "postgres" %}
from urllib.parse import urlsplit
{% endif %}
from urllib.request import urlopen

import pytest
from django.db import connection
from django.urls import reverse


def answer(port: int, path: str) -> str:
    """What a page says; "" for an error, or where nobody listens."""
    with suppress(URLError), urlopen(f"http://127.0.0.1:{port}{path}") as page:
        return str(page.read().decode())
    return ""


@pytest.mark.django_db(transaction=True)
def test_a_server_starts_is_ready_serves_a_page_and_stops(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    name, root = connection.settings_dict["NAME"], Path(__file__).parent.parent
{% if cookiecutter.database == "postgres" %}
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()
{% else %}
    database = f"sqlite:///{name}"
{% endif %}
    environment = os.environ | {"DATABASE_URL": database, "ALLOWED_HOSTS": "*"}
    server = [sys.executable, "-m", "serving", "--port", str(port), "config.asgi:application"]
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(server, cwd=root, env=environment, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 60
        while answer(port, "/readyz") != '{"status": "ok"}':
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        assert "csrfmiddlewaretoken" in answer(port, reverse("admin:login"))
    finally:
        process.terminate()
        assert process.wait(30) == 0, log.read_text()
