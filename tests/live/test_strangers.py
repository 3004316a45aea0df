"""What anybody can read and get from a server that faces them: texts, headers, redirects; and what the log
keeps instead."""

import json
import re
import socket
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.conftest import Serve
from tests.support.server import PATIENCE, Server, wait_for
from tests.support.sites import put_lifespan, put_site

HTTPS = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}

# What a page has, of Django's middleware.
SECURITY = {
    "x-content-type-options",
    "referrer-policy",
    "cross-origin-opener-policy",
    "content-security-policy",
    "x-frame-options",
}
HSTS = "strict-transport-security"

# Nobody else is to know any of these.
PLANTED = (
    "hunter2",
    "10.9.8.7",
    "amqp",
    "granian",
    "Granian",
    "Traceback",
    "lifespan.py",
    "sqlite",
)


@pytest.fixture
def faulty(project: Path) -> Path:
    """A project with views that raise."""
    put_site(project, "strangers")
    return project


def assert_says_nothing(answer: httpx.Response) -> None:
    """Neither in its text nor in its headers."""
    shown = f"{answer.text}\n{answer.headers!r}"
    for word in PLANTED:
        assert word not in shown, shown


def style(server: Server) -> str:
    found = re.search(
        r'href="(/static/site\.[0-9a-f]{12}\.css)"', server.get("/", headers=HTTPS).text
    )
    assert found
    return found[1]


@pytest.mark.parametrize(
    ("lifespan", "kind"),
    [("dies", "ExceptionGroup"), ("fails_while_it_ends", "PermissionError")],
)
def test_a_lifespan_that_fails_names_the_app_and_no_more(
    faulty: Path, serve: Serve, lifespan: str, kind: str
) -> None:
    put_lifespan(faulty, lifespan)
    server = serve(faulty).ready()
    assert server.get("/livez").status_code == 200
    (faulty / "die").touch()
    wait_for(lambda: server.get("/livez").status_code == 503, "the end of the lifespan")

    said = f"ended while serving: home: {kind}; the log says more"
    for path in ("/livez", "/readyz"):
        answer = server.get(path)
        assert answer.json()["problems"]["lifespan"] == said
        assert_says_nothing(answer)
    assert_says_nothing(server.get("/missing"))
    server.stop()
    assert "10.9.8.7" in server.log, "the log keeps what it needs"


def test_a_server_without_lifespan_says_so_to_strangers_and_why_to_the_log(
    faulty: Path, serve: Serve
) -> None:
    server = serve(faulty, GRANIAN_INTERFACE="asginl").ready()
    for _ in range(3):
        answer = server.get("/readyz")
        assert (
            "this server ran no lifespan; the log says more"
            in answer.json()["problems"]["lifespan"]
        )
        assert_says_nothing(answer)
    assert server.stop() == 0
    assert server.log.count("asgi.py has no layer Lifespan") == 1


@pytest.mark.parametrize("path", ["/", "/static/"])
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS"])
def test_error_pages_name_nothing(faulty: Path, serve: Serve, path: str, method: str) -> None:
    server = serve(faulty, ALLOWED_HOSTS="127.0.0.1").ready()
    paths = [
        f"{kind}/{name}"
        for kind in ("sync", "async")
        for name in ("500", "400", "400s", "403", "404")
    ]
    for below in [
        *paths,
        "missing",
        "nowhere",
        "%ff%fe",
        "..%2f..%2fetc/passwd",
        "site.css/",
        "%00",
    ]:
        answer = httpx.request(method, f"{server.address}{path}{below}", verify=False)  # noqa: S501
        assert 400 <= answer.status_code <= 500, below
        assert_says_nothing(answer)
    for headers in ({"Host": "hunter2.example"}, {"X-Request-ID": "hunter2\x7f<script>"},
                    {"X-Forwarded-For": "hunter2"}, {"Content-Type": "multipart/form-data; boundary=hunter2"}):  # fmt: skip
        assert_says_nothing(
            httpx.request(method, f"{server.address}{path}nowhere", headers=headers, verify=False)  # noqa: S501
        )


def test_a_csrf_failure_names_nothing(faulty: Path, serve: Serve) -> None:
    server = serve(faulty).ready()
    answer = httpx.post(f"{server.address}/admin/login/", data={"password": "hunter2"})
    assert answer.status_code == 403
    assert_says_nothing(answer)


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\nno header\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 600_000 + b"\r\n\r\n",
        b"hunter2\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\x00hunter2 HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_refusals_of_the_server_itself_name_nothing(
    faulty: Path, serve: Serve, request_: bytes
) -> None:
    server = serve(faulty).ready()
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):  # it refuses before it has read all
            connection.sendall(request_)
        answer = connection.recv(65536).decode("latin-1")
    assert answer.startswith("HTTP/1.1 4")
    for word in PLANTED:
        assert word not in answer


def test_no_answer_names_the_server_but_the_projects_own_word(faulty: Path, serve: Serve) -> None:
    server = serve(faulty).ready()
    for path in ("/", "/uptime/", "/livez", "/readyz", "/nowhere", "/sync/500", style(server)):
        assert server.get(path).headers.get_list("server") == ["web"], path
    assert server.get("/named").headers.get_list("server") == ["ours"]


def test_no_answer_names_a_process(faulty: Path, serve: Serve) -> None:
    server = serve(faulty).ready()
    processes = "|".join(str(pid) for pid in (server.process.pid, server.workers[0].pid))
    for path in ("/", "/live/", "/uptime/", "/livez", "/readyz", "/nowhere", "/sync/500"):
        answer = server.get(path)
        told = f"{answer.headers} {answer.text}"
        assert not re.search(rf"(?<![\d.])({processes})(?![\d.])", told), path


def early_answers(server: Server) -> dict[str, tuple[str, dict[str, str], str]]:
    """Requests that are answered before Django: path, headers, method."""
    sheet = style(server)
    etag = server.get(sheet, headers=HTTPS).headers["etag"]
    return {
        "file": (sheet, {}, "GET"),
        "gzip": (sheet, {"Accept-Encoding": "gzip"}, "GET"),
        "head": (sheet, {}, "HEAD"),
        "not modified": (sheet, {"If-None-Match": etag}, "GET"),
        "part": (sheet, {"Range": "bytes=0-9"}, "GET"),
        "no part": (sheet, {"Range": "bytes=999999-"}, "GET"),
        "method": (sheet, {}, "POST"),
        "no file": ("/static/nowhere.css", {}, "GET"),
        "image": ("/static/icon.svg", {}, "GET"),
        "livez": ("/livez", {}, "GET"),
        "readyz": ("/readyz", {}, "GET"),
    }


def test_answers_before_django_have_the_headers_of_a_page(faulty: Path, serve: Serve) -> None:
    server = serve(faulty, TRUSTED_PROXIES="127.0.0.1", SECURE_HSTS_SECONDS="3600").ready()
    page = server.get("/", headers=HTTPS)
    assert page.headers[HSTS] == "max-age=3600"
    statuses: dict[str, int] = {}
    for name, (path, headers, method) in early_answers(server).items():
        url = server.address + path
        over_https = httpx.request(method, url, headers=headers | HTTPS, verify=False)  # noqa: S501
        statuses[name] = over_https.status_code
        for header in (*SECURITY, HSTS):
            assert over_https.headers.get_list(header) == [page.headers[header]], (name, header)
        over_http = httpx.request(method, url, headers=headers, verify=False)  # noqa: S501
        assert HSTS not in over_http.headers, "RFC 6797, section 7.2"
        assert set(over_http.headers) >= SECURITY
    assert statuses == {
        "file": 200, "gzip": 200, "head": 200, "not modified": 304, "part": 206, "no part": 416,
        "method": 405, "no file": 404, "image": 200, "livez": 200, "readyz": 200,
    }  # fmt: skip


def test_a_stop_has_them_too(faulty: Path, serve: Serve) -> None:
    server = serve(faulty, TRUSTED_PROXIES="127.0.0.1", DRAIN_TIMEOUT="0.2").ready()
    page = server.get("/", headers=HTTPS)
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as connection:
        connection.sendall(
            b"GET /slow HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 203.0.113.7\r\n"
            b"X-Forwarded-Proto: https\r\n\r\n"
        )
        server.get("/livez")
        server.signal()
        with connection.makefile("rb") as stream:
            answer = stream.read().decode().lower()
    assert answer.startswith("http/1.1 503")
    for header in (*SECURITY, HSTS):
        assert f"\r\n{header}: {page.headers[header].lower()}\r\n" in answer
    assert "granian" not in answer
    assert server.wait() == 0


def test_settings_decide_which(faulty: Path, serve: Serve) -> None:
    with (faulty / "config" / "settings.py").open("a") as settings:
        settings.write(
            'SECURE_HSTS_PRELOAD = SECURE_HSTS_INCLUDE_SUBDOMAINS = True\nX_FRAME_OPTIONS = "SAMEORIGIN"\n'
            "SECURE_REFERRER_POLICY = None\nSECURE_CSP = {}\n"
            'SECURE_CSP_REPORT_ONLY = {"default-src": ["self"]}\n'
            "SECURE_PROXY_SSL_HEADER = ('HTTP_X_TLS', 'on')\n"
        )
    server = serve(faulty).ready()
    page = server.get("/", headers={"X-TLS": "on"})
    assert "preload" in page.headers[HSTS]
    for path in ("/livez", "/static/icon.svg"):
        answer = server.get(path, headers={"X-TLS": "on"})
        for header in (*SECURITY, HSTS, "content-security-policy-report-only"):
            assert answer.headers.get(header) == page.headers.get(header), (path, header)


def test_without_djangos_middleware_there_are_none(faulty: Path, serve: Serve) -> None:
    settings = faulty / "config" / "settings.py"
    text = settings.read_text()
    for name in ("security.SecurityMiddleware", "csp.ContentSecurityPolicyMiddleware", "clickjacking.XFrameOptionsMiddleware"):  # fmt: skip
        text = text.replace(f'    "django.middleware.{name}",\n', "")
    settings.write_text(text)
    server = serve(faulty, SECURE_SSL_REDIRECT="true").ready()
    assert server.get("/static/icon.svg").status_code == 200
    assert not SECURITY & set(server.get("/livez").headers)


def test_static_files_are_redirected_as_pages_are_and_probes_never(
    faulty: Path, serve: Serve
) -> None:
    with (faulty / "config" / "settings.py").open("a") as settings:
        settings.write('SECURE_REDIRECT_EXEMPT = [r"^static/icon\\.svg$", "^uptime"]\n')
    server = serve(
        faulty, TRUSTED_PROXIES="127.0.0.1", SECURE_SSL_REDIRECT="true", ALLOWED_HOSTS="127.0.0.1"
    ).ready()
    sheet = style(server)
    there = f"https://127.0.0.1:{server.port}"
    for path in ("/", sheet, f"{sheet}?v=1", "/static/nowhere.css", "/static/"):
        answer = server.get(path)
        assert answer.status_code == 301, path
        assert answer.headers["location"] == there + path
    assert server.get(sheet, headers={"Host": "evil.example"}).status_code == 400, "as a page"
    assert server.get("/uptime/").status_code == 200
    assert server.get("/static/icon.svg").status_code == 200, "exempt"
    assert server.get(sheet, headers=HTTPS).status_code == 200
    assert server.get("/livez").status_code == server.get("/readyz").status_code == 200


def test_the_redirect_may_name_another_port(faulty: Path, serve: Serve) -> None:
    server = serve(faulty, SECURE_SSL_REDIRECT="true", SECURE_SSL_HOST="tea.example:7543").ready()
    for path in ("/uptime/?a=1", "/static/icon.svg"):
        assert server.get(path).headers["location"] == f"https://tea.example:7543{path}"


def test_a_range_is_only_sent_of_what_has_not_changed(faulty: Path, serve: Serve) -> None:
    server = serve(faulty).ready()
    sheet = style(server)
    whole = server.get(sheet, headers={"Accept-Encoding": "identity"})
    etag = whole.headers["etag"]
    assert etag.startswith('W/"'), "one for the file and its compressed forms"
    for encoding in ("gzip", "br"):
        assert server.get(sheet, headers={"Accept-Encoding": encoding}).headers["etag"] == etag
    part = {"Range": "bytes=0-9", "Accept-Encoding": "identity"}
    assert server.get(sheet, headers=part).content == whole.content[:10]
    for validator in (etag, '"other"', "Thu, 01 Jan 1970 00:00:00 GMT"):
        answer = server.get(sheet, headers=part | {"If-Range": validator})
        assert (answer.status_code, answer.content) == (200, whole.content)


def log_in(server: Server, name: str, password: str, **headers: str) -> int:
    with httpx.Client(base_url=server.address, headers=headers, timeout=PATIENCE) as client:
        page = client.get("/admin/login/")
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
        assert token
        form = {"username": name, "password": password, "csrfmiddlewaretoken": token[1]}
        return client.post("/admin/login/", data=form).status_code


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_failed_logins_are_in_the_log(faulty: Path, serve: Serve, log_format: str) -> None:
    server = serve(faulty, TRUSTED_PROXIES="127.0.0.1", LOG_FORMAT=log_format).answering()
    proxied = {"X-Forwarded-For": "203.0.113.7:51234"}
    for number in range(3):
        assert log_in(server, f"ada{number}", "hunter2", **proxied) == 200
    odd = "a\nWARNING \x1b[31m\u202e\r" + "ö" * 120
    assert log_in(server, odd, "hunter2", **{"X-Forwarded-For": "<script>"}) == 200
    assert server.stop() == 0

    assert "hunter2" not in server.log
    assert "\x1b[31m" not in server.log
    assert server.log.count("failed login of ") == 4
    assert "WARNING \x1b" not in server.log
    assert "\nWARNING" not in server.log
    for number in range(3):
        assert f"failed login of 'ada{number}' from 203.0.113.7" in server.log
    if log_format == "json":
        said = [record for record in server.records if record["log.logger"] == "accounts.logins"]
        assert {record["log.level"] for record in said} == {"WARNING"}
        assert [record["client.address"] for record in said][:3] == ["203.0.113.7"] * 3
        assert [record["user.name"] for record in said][:3] == ["ada0", "ada1", "ada2"]
        assert all(len(json.dumps(record)) < 2000 for record in said)
