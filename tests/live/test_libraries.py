"""Error trackers and tracers find what Django's own handler gives them, and mix no two requests.

Each sends to a local receiver, from a real server, what 200 requests at once are about; and what it sends
is the same with either handler.
"""

import ast
import re
import shutil
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import clean_environment, with_packages
from tests.support.handlers import with_djangos_handler
from tests.support.receivers import Receiver, Report
from tests.support.server import Server, wait_for
from tests.support.sites import put_tests

PATHS = [
    *(f"/{a}{view}/?" for view in ("user", "boom", "template", "stream") for a in ("", "a")),
    "/stream_of_async/?", "/astream_of_sync/?",
    *(f"/{view}/?breaks&" for view in ("stream", "astream", "stream_of_async", "astream_of_sync")),
]  # fmt: skip
REQUESTS = 200
NUMBERS = [str(number) for number in range(REQUESTS)]


def path_of(number: str) -> str:
    """The path of a request."""
    return PATHS[int(number) % len(PATHS)]


@dataclass
class Seen:
    """What a library says of one request."""

    name: str = ""  # of the transaction
    path: str = ""
    mark: str | None = None
    user: str | None = None
    errors: set[str] = field(default_factory=set)
    spans: set[tuple[str, str]] = field(default_factory=set)  # with the name of each one's parent
    lasts: bool = True  # whether it ends no sooner than all that was done for it


def sentrys(reports: list[Report]) -> dict[str, Seen]:
    """An event has the request's own fields too: they must be the transaction's."""
    seen: dict[str, Seen] = defaultdict(Seen)
    for report in reports:
        request = report.get("request")
        if request is None:  # what Granian logs when a stream breaks, outside of any request
            assert report["kind"] == "event"
            assert not report.get("user")
            assert not report.get("tags")
            continue
        of = seen[number_in(request["query_string"])]
        own = (
            report["transaction"],
            httpx.URL(request["url"]).path,
            report["tags"]["n"],
            report.get("user", {}).get("id"),
        )
        assert own == ((of.name, of.path, of.mark, of.user) if of.name else own)
        of.name, of.path, of.mark, of.user = own
        if report["kind"] == "event":
            of.errors |= {f"{e['type']} {e['value']}" for e in report["exception"]["values"]}
        else:
            root = report["contexts"]["trace"]
            names = {span["span_id"]: span["description"] for span in report["spans"]}
            names[root["span_id"]] = of.name
            of.spans |= {
                (span["description"], names[span["parent_span_id"]])
                for span in report["spans"]
                if span["op"] != "http.client"  # a thread of Sentry's own, that sends all this
            }
            of.lasts = all(s["timestamp"] <= report["timestamp"] for s in report["spans"])
    return seen


def otels(reports: list[Report]) -> dict[str, Seen]:
    """Its spans of Django end before a stream begins, so what is done in one has no parent."""
    seen: dict[str, Seen] = defaultdict(Seen)
    traces: dict[str, list[Report]] = defaultdict(list)
    for report in reports:
        traces[report["traceId"]].append(report)
    for spans in traces.values():
        names = {span["spanId"]: span["name"] for span in spans}
        for span in spans:
            about = attributes(span)
            if "http.url" not in about:
                of = seen[number_in(span["name"])]
                of.spans.add((span["name"], names.get(span.get("parentSpanId", ""), "")))
                continue
            url = httpx.URL(about["http.url"])
            of = seen[number_in(url.query.decode())]
            of.name, of.path = span["name"], url.path
            of.mark, of.user = about.get("n"), about.get("enduser.id")
            for said in map(attributes, span.get("events", ())):
                of.errors.add(f"{said['exception.type']} {said['exception.message']}")
            of.lasts = all(int(s["endTimeUnixNano"]) <= int(span["endTimeUnixNano"]) for s in spans)
    return seen


def attributes(thing: Report) -> dict[str, Any]:
    return {one["key"]: one["value"].get("stringValue") for one in thing.get("attributes", ())}


def elastics(reports: list[Report]) -> dict[str, Seen]:
    transactions = {r["id"]: r for r in reports if r["kind"] == "transaction"}
    names = {r["id"]: r["name"] for r in reports if r["kind"] in ("span", "transaction")}
    seen: dict[str, Seen] = {}
    for report in reports:
        transaction = transactions.get(report.get("transaction_id", report["id"]))
        if transaction is None:  # it has not come yet
            continue
        context = transaction["context"]
        url = httpx.URL(context["request"]["url"]["full"])
        of = seen.setdefault(number_in(url.query.decode()), Seen(transaction["name"], url.path))
        of.mark, of.user = context["tags"]["n"], context.get("user", {}).get("id")
        if report["kind"] == "error":
            of.errors.add(report["exception"]["message"])
        elif report["kind"] == "span":
            of.spans.add((report["name"], names.get(report["parent_id"], "")))
    return seen


def number_in(text: str) -> str:
    """The number of a request: a query has it, and the name of each span of ours."""
    found = re.search(r"(?:n=|^(?:work|side|part \d of) )(\d+)", text)
    assert found, text
    return found[1]


def complete(seen: dict[str, Seen], numbers: list[str]) -> bool:
    """Whether all has come that there is to say of some requests."""
    return all(
        (of := seen.get(number)) is not None
        and of.name
        and expected_spans(number) <= {name for name, _ in of.spans}
        and (of.errors or not fails(number))
        for number in numbers
    )


def expected_spans(number: str) -> set[str]:
    path = path_of(number)
    if "user" in path:
        return {f"work {number}", f"side {number}"}
    return {f"part {part} of {number}" for part in range(3)} if "stream" in path else set()


def fails(number: str) -> bool:
    """Whether Django answers with an error. (That a stream breaks off, only Sentry sees.)"""
    return path_of(number).lstrip("/a").startswith(("boom", "template"))


def serve(project: Path, programs: Path, library: str, **variables: str) -> Server:
    """A server of the site that a library watches."""
    variables |= {
        "DJANGO_SETTINGS_MODULE": "tests.sites.libraries.settings",
        "LIBRARY": library,
        "DEBUG": "false",
    }
    return Server(programs, project, with_packages(project, clean_environment()), variables).ready()


def ask_all(server: Server) -> None:
    """Makes all the requests at once."""

    def ask(number: str) -> None:
        try:
            server.get(f"{path_of(number)}n={number}")
        except httpx.RemoteProtocolError:
            assert "breaks" in path_of(number)

    with ThreadPoolExecutor(REQUESTS) as clients:
        list(clients.map(ask, NUMBERS))


def serve_and_ask(
    project: Path,
    programs: Path,
    library: str,
    read: Callable[[list[Report]], dict[str, Seen]],
    awaited: list[str],
) -> dict[str, Seen]:
    """What a library says of 200 requests at once, at least of those that are `awaited`."""
    receiver = Receiver(programs, project.parent / f"{project.name}-receiver.log")
    server = serve(project, programs, library, RECEIVER=str(receiver.port))
    try:
        ask_all(server)
        wait_for(lambda: receiver.has_news and complete(read(receiver.reports), awaited), library)
        return read(receiver.reports)
    finally:
        server.kill()
        receiver.stop()


@pytest.fixture
def sites(project: Path) -> tuple[Path, Path]:
    """The same project twice, with our handler and with Django's."""
    put_tests(project)
    other = shutil.copytree(project, project.parent / "other")
    with_djangos_handler(other)
    return project, other


@pytest.mark.parametrize("library", ["sentry", "otel", "elastic"])
def test_a_library_finds_its_hooks(sites: tuple[Path, Path], libraries: Path, library: str) -> None:
    read = {"sentry": sentrys, "otel": otels, "elastic": elastics}[library]
    with ThreadPoolExecutor() as both:
        ours, djangos = both.map(
            lambda site, awaited: serve_and_ask(site, libraries / "bin", library, read, awaited),
            sites,
            # With Django's own handler, no request whose stream broke is said to have finished.
            (NUMBERS, [number for number in NUMBERS if "breaks" not in path_of(number)]),
        )
    for number in NUMBERS:
        path, mine = path_of(number), ours[number]
        assert mine.path == path.partition("?")[0]
        assert mine.mark == number
        # (Elastic's middleware has the session's user instead.)
        assert mine.user == (number if "user" in path and library != "elastic" else None)
        assert all(re.search(r"\d+$", text)[0] == number for text in mine.errors)  # type: ignore[index]
        if (theirs := djangos.get(number)) is None:
            assert "breaks" in path
            continue
        # Django puts the error of a stream into a group of one.
        assert mine.errors == {error for error in theirs.errors if "Group" not in error}
        assert mine.spans >= theirs.spans
        assert mine.lasts >= theirs.lasts
        assert mine.name == theirs.name


def test_new_relic_finds_its_hooks(sites: tuple[Path, Path], libraries: Path) -> None:
    """It patches asgiref, which our way to a thread leaves out: so sync views go Django's way then."""
    with ThreadPoolExecutor() as both:
        ours, djangos = both.map(lambda site: new_relics(site, libraries / "bin"), sites)
    assert ours["transactions"].keys() == set(NUMBERS)
    for number, (uri, user, name) in ours["transactions"].items():
        path = path_of(number)
        assert uri == path.partition("?")[0]
        assert user == (number if "user" in path else None)
        assert name == f"WebTransaction/Function/tests.sites.libraries.site:{uri.strip('/')}"
    assert all(re.search(rf" {number}$", text) for text, number in ours["errors"])
    assert {text.partition(" ")[0] for text, _ in ours["errors"]} == {"boom", "template", "stream"}
    # Every function that it has timed: what each handler calls its own way, apart.
    own = re.compile("serving|ASGIHandler")
    assert {n for n in ours["functions"] if not own.search(n)} >= {
        n for n in djangos["functions"] if not own.search(n)
    }


def new_relics(project: Path, programs: Path) -> dict[str, Any]:
    """What it would send, as its developer mode writes it down."""
    audit = project.parent / f"{project.name}-audit.log"
    server = serve(
        project,
        programs,
        "new_relic",
        NEW_RELIC_LICENSE_KEY="0" * 40,
        NEW_RELIC_APP_NAME="watched",
        NEW_RELIC_DEVELOPER_MODE="true",
        NEW_RELIC_STARTUP_TIMEOUT="60",  # the first request waits until the agent has begun
        NEW_RELIC_AUDIT_LOG=str(audit),
        NEW_RELIC_LOG=str(audit.with_suffix(".own")),
    )
    try:
        server.get("/ends/?begin")
        ask_all(server)
        assert server.get("/ends/").status_code == 200, server.log[-3000:]
    finally:
        server.kill()
    sent: dict[str, list[Any]] = defaultdict(list)
    calls = re.findall(
        r"^PARAMS: [^\n]*'method': '(\w+)'.*?^DATA: (.*?)\n\n",
        audit.read_text(),
        re.MULTILINE | re.DOTALL,
    )
    for method, data in calls:
        sent[method].append(ast.literal_eval(data))
    return {
        "transactions": {
            about["n"]: (more["request.uri"], more.get("enduser.id"), event["name"])
            for _, _, events in sent["analytic_event_data"]
            for event, about, more in events
            if "n" in about
        },
        "errors": [
            (event["error.message"], about["n"])
            for _, _, events in sent["error_event_data"]
            for event, about, _ in events
            if "n" in about
        ],
        "functions": {
            metric["name"]
            for _, _, _, metrics in sent["metric_data"]
            for metric, _ in metrics
            if metric["name"].startswith("Function/")
        },
    }
