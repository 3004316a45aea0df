"""docs/csp.md, done as it says in a project that serves."""

import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from tests.conftest import ROOT, Run, Serve
from tests.support.server import Server

PAGE = ROOT / "docs" / "csp.md"


def blocks(language: str) -> list[str]:
    """The page's blocks of code in a language."""
    tokens = MarkdownIt().parse(PAGE.read_text())
    return [token.content for token in tokens if token.type == "fence" and token.info == language]


@pytest.fixture
def server(project: Path, serve: Serve, run: Run) -> Server:
    """A project with all that the page has one write, each where it says."""
    (nonces,) = blocks("html")
    override, on_trial, report = blocks("python")
    home = project / "home"
    base = project / "templates" / "base.html"
    base.write_text(base.read_text().replace("</head>", f"{nonces}</head>"))
    (home / "templates" / "home" / "gallery.html").write_text('<img src="data:,">')
    (home / "gallery.py").write_text(override)
    (home / "reports.py").write_text(report)
    urls = home / "urls.py"
    urls.write_text(
        urls.read_text()
        .replace("import views", "import gallery, reports, views")
        .replace(
            "urlpatterns = [\n",
            "urlpatterns = [\n"
            '    path("gallery/", gallery.gallery, name="gallery"),\n'
            '    path("csp-report/", reports.csp_report, name="csp_report"),\n',
        )
    )
    settings = project / "config" / "settings.py"
    text = settings.read_text()
    settings.write_text(text.replace("\n# HSTS for", f"\n{on_trial}\n# HSTS for", 1))
    run(project, "ruff", "check", "--no-cache")
    run(project, "ruff", "format", "--check", "--no-cache")
    return serve(project, SECURE_SSL_REDIRECT="false").ready()


def policy(server: Server, path: str, header: str = "Content-Security-Policy") -> dict[str, str]:
    """The directives that a page comes with."""
    value = server.get(path).headers[header]
    return dict(part.strip().partition(" ")[::2] for part in value.split(";"))


def test_a_nonce_is_the_policys_and_another_each_time(server: Server) -> None:
    seen = set()
    for _ in range(2):
        answer = server.get("/")
        nonces = set(re.findall(r'<(?:script|style) nonce="([^"]+)">', answer.text))
        assert len(nonces) == 1, "script and style have one and the same"
        (nonce,) = nonces
        sent = answer.headers["Content-Security-Policy"]
        assert f"script-src 'self' 'nonce-{nonce}'; style-src 'self' 'nonce-{nonce}'" in sent
        assert "unsafe-inline" not in sent
        seen.add(nonce)
    assert len(seen) == 2


def test_a_page_that_uses_no_nonce_allows_none(server: Server) -> None:
    assert policy(server, "/uptime/")["script-src"] == "'self'"
    assert policy(server, "/static/site.css")["script-src"] == "'self'"


def test_one_view_has_another_policy_and_the_rest_of_the_sites(server: Server) -> None:
    site, gallery = policy(server, "/uptime/"), policy(server, "/gallery/")
    assert "img-src" not in site
    assert gallery == {**site, "img-src": "'self' data:"}


def test_a_policy_on_trial_is_sent_beside_the_other(server: Server) -> None:
    trial = policy(server, "/uptime/", "Content-Security-Policy-Report-Only")
    assert trial == {
        **policy(server, "/uptime/"),
        "img-src": "'none'",
        "report-uri": "/csp-report/",
    }


def test_a_report_is_logged_and_garbage_is_refused(server: Server) -> None:
    import httpx

    def send(content: str) -> int:
        headers = {"content-type": "application/csp-report"}
        address = f"{server.address}/csp-report/"
        return httpx.post(address, content=content, headers=headers).status_code

    report = (
        '{"csp-report": {"document-uri": "https://tea.example/", "effective-directive": "img-src",'
        ' "blocked-uri": "https://ads.example/a.png"}}'
    )
    assert send(report) == 204
    said = "the policy forbids img-src: https://ads.example/a.png on https://tea.example/"
    server.wait_for_log(said)
    for garbage in ("", "[]", "{}", "null", "\\xff", '{"csp-report": 1}', '{"csp-report": []}'):
        assert send(garbage) == 400, garbage
    assert server.get("/csp-report/").status_code == 405


def test_the_admins_pages_have_nothing_that_the_policy_blocks(server: Server) -> None:
    """What is in such a page itself has the nonce."""
    page = server.get("/admin/login/")
    assert page.status_code == 200
    inline = re.findall(r"<script(?![^>]*\bsrc=)[^>]*>|<style[^>]*>", page.text)
    assert all("nonce=" in tag for tag in inline)
    assert not re.search(r"<[^>]+\s(on\w+|style)=", page.text)
