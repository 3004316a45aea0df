"""What docs/troubleshooting.md says of causes and cures, where no other test shows it; and that each has a test."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import httpx

from tests.conftest import ROOT, Run, Serve
from tests.support.server import PATIENCE, Server, dev_variables, server_environment

PAGE = ROOT / "docs" / "troubleshooting.md"
HERE = "live/test_troubleshooting.py"

# The tests that meet the cause of each entry, and mend it.
SHOWN_BY = {
    "ASGI Lifespan errored": [
        "live/test_pictures.py::test_before",
        "live/test_pictures.py::test_after",
    ],
    "ASGI lifespan startup failed, startup failed: home: ...": [
        "live/test_serving.py::test_a_failed_startup_ends_a_required_server",
        "live/test_serving.py::test_a_failed_startup_is_one_warning_of_an_optional_server",
    ],
    "The environment holds values that are missing or wrong": [
        "live/test_serving.py::test_wrong_variables_stop_the_server_with_all_of_them_named"
    ],
    "Granian's interface is rsgi": [
        "live/test_start.py::test_an_interface_that_could_serve_errors_alone",
        "live/test_start.py::test_by_hand_with_the_right_interface_it_serves_and_warns",
    ],
    "too many clients already": [
        "live/test_connections.py::test_three_servers_and_one_more_fit_into_what_postgres_has",
        "live/test_connections.py::test_more_than_the_server_has_is_told_once_at_the_start",
    ],
    "Connections that leak under ASGI": [
        "live/test_postgres.py::test_it_serves_from_postgres_and_the_server_sees_who_asks"
    ],
    "Stopping worker-1, and then nothing": [
        "live/test_lifespan_faults.py::test_sigterm_with_an_endless_response_open",
        "live/test_lifespan_faults.py::test_a_stream_that_asks_ends_by_itself",
        "live/test_process.py::test_a_worker_that_does_not_stop_ends_after_the_kill_timeout",
    ],
    "Requests that are lost at a restart": [
        "containers/test_container_compose.py::test_behind_the_proxy_three_scale_and_are_replaced_without_losing_a_request",
        "live/test_lifespan_faults.py::test_sighup_under_load",
    ],
    'A probe gets 400, "You may need to add ... to ALLOWED_HOSTS"': [
        f"{HERE}::test_a_probe_is_answered_whatever_host_it_asks_for"
    ],
    "A redirect that never ends": [
        "live/test_proxies.py::test_an_endless_redirect_names_its_cause_once"
    ],
    "The form is out of date, or CSRF verification failed, behind TLS": [
        f"{HERE}::test_a_form_behind_tls_is_taken_from_a_proxy_that_is_believed"
    ],
    "Static files are 404": [f"{HERE}::test_a_static_file_is_found_once_it_is_collected"],
    "database is locked": [
        f"{HERE}::test_a_writer_that_keeps_sqlite_for_too_long_makes_others_fail"
    ],
    "The server is ready and gets no requests, or the other way round": [
        "live/test_serving.py::test_required_under_a_server_that_runs_no_lifespan_is_not_ready"
    ],
}

SHOP = {"ALLOWED_HOSTS": "shop.example", "CSRF_TRUSTED_ORIGINS": "https://elsewhere.example"}
BEHIND_TLS = {
    "Host": "shop.example", "X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.7",
    "Origin": "https://shop.example",
}  # fmt: skip


def test_every_entry_is_shown_by_tests_that_are_there() -> None:
    assert re.findall(r"^## (.*)$", PAGE.read_text(), re.MULTILINE) == list(SHOWN_BY)
    for shown in [each for several in SHOWN_BY.values() for each in several]:
        file, _, name = shown.partition("::")
        assert f"\ndef {name}(" in (ROOT / "tests" / file).read_text(), shown


def log_in(server: Server, **headers: str) -> httpx.Response:
    """The answer to a form, as a browser sends it that asked for it at https://shop.example."""
    address, sent = f"{server.address}/accounts/login/", BEHIND_TLS | headers
    page = httpx.get(address, headers=sent, timeout=PATIENCE)
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert token, page.text
    form = {"csrfmiddlewaretoken": token[1], "username": "ada", "password": "wrong"}
    cookie = {"Cookie": f"csrftoken={page.cookies['csrftoken']}"}
    return httpx.post(address, data=form, headers=sent | cookie, timeout=PATIENCE)


def test_a_probe_is_answered_whatever_host_it_asks_for(project: Path, serve: Serve) -> None:
    server = serve(project).ready()
    pod = {"Host": "10.0.0.7:8000"}
    assert [server.get(path, headers=pod).status_code for path in ("/livez", "/readyz")] == [
        200,
        200,
    ]
    assert server.get("/", headers=pod).status_code == 400
    server.wait_for_log("You may need to add '10.0.0.7' to ALLOWED_HOSTS")


def test_a_form_behind_tls_is_taken_from_a_proxy_that_is_believed(
    project: Path, serve: Serve
) -> None:
    plain = {**SHOP, "SECURE_SSL_REDIRECT": "false"}
    unbelieved = serve(project, **plain).ready()
    assert log_in(unbelieved).status_code == 403
    unbelieved.wait_for_log("Origin checking failed - https://shop.example does not match")
    believed = serve(project, **SHOP, TRUSTED_PROXIES="127.0.0.1").ready()
    assert log_in(believed).status_code == 200
    # A proxy that asks for another host than the browser did.
    inside = serve(
        project,
        ALLOWED_HOSTS="web",
        CSRF_TRUSTED_ORIGINS="https://shop.example",
        TRUSTED_PROXIES="127.0.0.1",
    ).ready()
    assert log_in(inside, Host="web").status_code == 200


def test_a_static_file_is_found_once_it_is_collected(project: Path, run: Run, serve: Serve) -> None:
    (project / "static" / "new.css").write_text("h1 { color: green }\n")
    server = serve(project, SECURE_SSL_REDIRECT="false").ready()
    assert server.get("/static/new.css").status_code == 404
    run(project, "python", "manage.py", "collectstatic", "--noinput", **server_environment(project))
    assert server.get("/static/new.css").status_code == 404, "it knows the files of its start"
    assert server.stop() == 0
    again = serve(project, SECURE_SSL_REDIRECT="false").ready()
    assert again.get("/static/new.css").status_code == 200


def test_a_static_file_is_found_at_once_while_one_develops(project: Path, serve: Serve) -> None:
    server = serve(project, **dev_variables(project)).ready()
    (project / "static" / "newer.css").write_text("h1 { color: green }\n")
    assert server.get("/static/newer.css").status_code == 200


def test_a_writer_that_keeps_sqlite_for_too_long_makes_others_fail(
    project: Path, serve: Serve
) -> None:
    waiting = {"DATABASE_URL": "sqlite:///db.sqlite3?timeout=0.2", "TRUSTED_PROXIES": "127.0.0.1"}
    server = serve(project, **SHOP, **waiting).ready()
    with closing(sqlite3.connect(project / "db.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert log_in(server).status_code == 500  # it counts the failed login
        server.wait_for_log("database is locked")
        other.execute("ROLLBACK")
    assert log_in(server).status_code == 200
