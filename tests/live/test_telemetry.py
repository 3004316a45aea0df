"""Projects with telemetry report to a receiver that decodes the real protocols, from a real server."""

import json
import re
import shutil
import socket
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import Run, Serve, add_ada, bake_into, bake_site
from tests.live.test_tasks import Site, set_option, with_errands
from tests.support.receivers import Receiver, Report
from tests.support.server import PATIENCE, Server, free_port, server_environment, wait_for
from tests.support.services import Postgres, Valkey
from tests.support.sites import program

LIBRARIES = ("sentry", "opentelemetry")

# By regular expressions: lines of code are sent, too.
SECRETS = {
    "header": "a-key-in-a-header",
    "cookie": "a-session-in-a-cookie",
    "query": "a-token-in-a-query",
    "variable": "a-password-in-a-variable",
    "environment": "a-token-of-the-environment",
    "statement": "a-text-in-a-statement",
    "key": r"basket-of-\d",  # a cache's key may hold a session's
    "parameter": r"ada \d",
}
NUMBERS = [str(number) for number in range(200)]
PATHS = [
    "/plain/a/?", "/aplain/b/?", "/boom/?", "/aboom/?", "/stream/?", "/astream/?",
    "/stream_of_async/?", "/astream_of_sync/?", "/stream/?breaks&", "/astream/?breaks&",
]  # fmt: skip


def path_of(number: str) -> str:
    return PATHS[int(number) % len(PATHS)]


@dataclass
class Seen:
    """What was reported of one request."""

    name: str = ""
    ids: set[str | None] = field(default_factory=set)  # the request's, on all that was reported
    marks: set[str | None] = field(default_factory=set)
    users: set[str | None] = field(default_factory=set)
    releases: set[tuple[str | None, str | None]] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)
    spans: list[tuple[str, str]] = field(default_factory=list)  # with the name of each one's parent
    status: int | None = None
    lasts: bool = True


def sentrys(reports: list[Report]) -> dict[str, Seen]:
    seen: dict[str, Seen] = defaultdict(Seen)
    for report in reports:
        of = seen[number_in(report["request"]["query_string"])]
        tags = report["tags"]
        of.ids.add(tags["request_id"])
        of.marks.add(tags["n"])
        of.users.add(report["user"]["id"])
        of.releases.add((report.get("release"), report.get("environment")))
        of.name = report["transaction"]
        if report["kind"] == "event":
            of.errors += [f"{e['type']} {e['value']}" for e in report["exception"]["values"]]
            continue
        root = report["contexts"]["trace"]
        of.status = root["data"]["http.response.status_code"]
        names = {span["span_id"]: span["description"].split()[0] for span in report["spans"]}
        names[root["span_id"]] = "root"
        for span in report["spans"]:
            of.spans.append((names[span["span_id"]], names[span["parent_span_id"]]))
            of.lasts = of.lasts and span["timestamp"] <= report["timestamp"]
    return seen


def otels(reports: list[Report]) -> dict[str, Seen]:
    seen: dict[str, Seen] = {}
    traces: dict[str, list[Report]] = defaultdict(list)
    for report in reports:
        traces[report["traceId"]].append(report)
    for spans in traces.values():
        roots = [span for span in spans if "parentSpanId" not in span]
        if len(roots) != 1 or "url.query" not in attributes(roots[0]):  # not yet
            continue
        (root,) = roots
        about = attributes(root)
        of = seen[number_in(about["url.query"])] = Seen(root["name"].partition(" ")[2])
        of.marks.add(about.get("n"))
        of.users.add(about.get("enduser.id"))
        of.status = int(about["http.response.status_code"])
        names = {span["spanId"]: span["name"].split()[0] for span in spans}
        names[root["spanId"]] = "root"
        for span in spans:
            of.ids.add(attributes(span).get("http.request.id"))
            resource = attributes(span["resource"])
            of.releases.add(
                (resource.get("service.version"), resource["deployment.environment.name"])
            )
            if span is not root:
                of.spans.append((names[span["spanId"]], names.get(span["parentSpanId"], "?")))
            for event in map(attributes, span.get("events", ())):
                of.errors.append(f"{event['exception.type']} {event['exception.message']}")
            of.lasts = of.lasts and int(span["endTimeUnixNano"]) <= int(root["endTimeUnixNano"])
    return seen


def attributes(thing: Report) -> dict[str, Any]:
    return {one["key"]: next(iter(one["value"].values())) for one in thing.get("attributes", ())}


def number_in(query: str) -> str:
    found = re.search(r"n=(\d+)", query)
    assert found, query
    return found[1]


READ = {"sentry": sentrys, "opentelemetry": otels}


@pytest.fixture(scope="session")
def watched_projects(tmp_path_factory: pytest.TempPathFactory, run: Run) -> dict[str, Path]:
    """A project of each answer on SQLite, to be copied."""
    projects = {}
    for library in LIBRARIES:
        folder = tmp_path_factory.mktemp(library)
        projects[library] = bake_site(folder, run, "telemetry", telemetry=library)
        variables = server_environment(projects[library])
        run(projects[library], "python", "manage.py", "migrate", "-v0", **variables)
    return projects


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def watched(library: str, tmp_path: Path, watched_projects: dict[str, Path]) -> Path:
    """A project of this test's own."""
    return shutil.copytree(watched_projects[library], tmp_path / "project")


@pytest.fixture
def receiver(environment: Path, tmp_path: Path) -> Iterator[Receiver]:
    started = Receiver(environment / "bin", tmp_path / "receiver.log")
    yield started
    started.stop()


def to(library: str, port: int, **more: str) -> dict[str, str]:
    """The variables that send every trace to a port."""
    if library == "sentry":
        return {
            "SENTRY_DSN": f"http://0123456789abcdef@127.0.0.1:{port}/1",
            "SENTRY_TRACES_SAMPLE_RATE": "1",
            **more,
        }
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        **more,
    }


def ask(server: Server, number: str, path: str) -> None:
    try:
        httpx.get(
            f"{server.address}{path}n={number}&token={SECRETS['query']}",
            headers={
                "X-Request-ID": f"request-{number}",
                "Authorization": f"Bearer {SECRETS['header']}",
                "Cookie": f"sessionid={SECRETS['cookie']}",
            },
            timeout=PATIENCE,
        )
    except httpx.RemoteProtocolError:
        assert "breaks" in path


def expected_spans(library: str, number: str) -> list[tuple[str, str]]:
    cache = [("GET", "work")]
    each = [("work", "root"), ("SELECT", "work"), *cache]
    return sorted(each * (3 if "stream" in path_of(number) else 1))


def test_200_requests_at_once_are_told_apart(
    library: str,
    tmp_path: Path,
    run: Run,
    serve: Serve,
    postgres: Postgres,
    valkey: Valkey,
    receiver: Receiver,
) -> None:
    project = bake_site(
        tmp_path, run, "telemetry", telemetry=library, database="postgres", cache="valkey"
    )
    if library == "sentry":  # room for all: a slow receiver is another test's
        source = project / "telemetry" / "sentry.py"
        assert "\nQUEUE = 256" in source.read_text()
        source.write_text(source.read_text().replace("\nQUEUE = 256", "\nQUEUE = 4096"))
    database = f"watched_{library}"
    postgres.query(f"CREATE DATABASE {database}")
    services = {"DATABASE_URL": postgres.url(database), "CACHE_URL": valkey.url}
    run(project, "python", "manage.py", "migrate", "-v0", **server_environment(project) | services)
    variables = to(library, receiver.port, RELEASE="0123abc", ENVIRONMENT="tests", **services)
    server = serve(project, PAYMENT_TOKEN=SECRETS["environment"], **variables)
    server.ready()
    with ThreadPoolExecutor(len(NUMBERS)) as clients:
        list(clients.map(lambda number: ask(server, number, path_of(number)), NUMBERS))
    ask(server, "1000", "/literal/?")

    def complete() -> bool:
        if not receiver.has_news:
            return False
        seen = READ[library](receiver.reports)
        return (
            all(
                number in seen
                and len(seen[number].spans) >= len(expected_spans(library, number))
                and bool(seen[number].errors)
                == ("boom" in path_of(number) or "breaks" in path_of(number))
                for number in NUMBERS
            )
            and "1000" in seen
        )

    try:
        wait_for(complete, "all reports")
    finally:
        assert server.stop() == 0
        postgres.query(f"DROP DATABASE {database} WITH (FORCE)")
    seen = READ[library](receiver.reports)
    for number in NUMBERS:
        path, of = path_of(number), seen[number]
        route = re.sub(r"^(/a?plain/)./", r"\1<str:kind>/", path.partition("?")[0])
        assert of.name == route
        assert (of.ids, of.marks, of.users) == ({f"request-{number}"}, {number}, {number})
        assert of.releases == {("0123abc", "tests")}
        assert sorted(of.spans) == expected_spans(library, number)
        assert of.lasts, "the request's span ends no sooner than what was done for it"
        assert of.status == (500 if "boom" in path else 200)
        kind = "boom" if "boom" in path else "stream" if "breaks" in path else None
        assert [re.findall(r"ValueError (\w+ \d+)", error) for error in of.errors] == (
            [[f"{kind} {number}"]] if kind else []
        )
    for report in receiver.reports:  # breadcrumbs and headers, too
        assert len(set(re.findall(r"(?:request-|asked for )(\d+)", str(report)))) == 1
    sent = receiver.text
    assert [what for what, secret in SECRETS.items() if re.search(secret, sent)] == []
    assert "********" in sent


def test_the_last_spans_are_sent_within_the_shutdown(
    library: str, watched: Path, serve: Serve, receiver: Receiver
) -> None:
    server = serve(watched, **to(library, receiver.port, OTEL_BSP_SCHEDULE_DELAY="600000"))
    server.ready()
    ask(server, "7", "/plain/a/?")
    assert server.stop() == 0
    assert READ[library](receiver.reports)["7"].status == 200


@pytest.mark.parametrize("fault", ["hangs", "is down"])
def test_a_collector_that_takes_nothing_costs_no_request_anything(
    library: str, watched: Path, serve: Serve, fault: str
) -> None:
    """All are answered, the log has a line and not one for each, and the server stops as it should."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as silent:
        port = silent.getsockname()[1] if fault == "hangs" else free_port()
        server = serve(
            watched,
            **to(library, port, OTEL_EXPORTER_OTLP_TIMEOUT="1", GRANIAN_LOG_ACCESS_ENABLED="false"),
        )
        server.ready()
        with ThreadPoolExecutor(32) as clients:
            answers = list(clients.map(lambda n: server.get(f"/plain/a/?n={n}"), NUMBERS * 2))
        assert {answer.status_code for answer in answers} == {200}
        server.wait_for_log("are dropped: the ")
        assert server.stop() == 0
    assert not server.killed_a_worker
    assert server.log.count("are dropped: the ") == 1
    assert len([line for line in server.records if "telemetry" in line["log.logger"]]) <= 5
    assert "urllib3" not in server.log
    assert "opentelemetry." not in server.log.replace("telemetry.opentelemetry", "")


def test_a_collector_that_comes_back_is_sent_to_again(
    library: str, watched: Path, serve: Serve, environment: Path, tmp_path: Path
) -> None:
    (file,) = watched.glob(f"telemetry/{library}.py")
    text = file.read_text()
    assert "PAUSE = 30.0" in text
    file.write_text(text.replace("PAUSE = 30.0", "PAUSE = 0.1"))
    port = free_port()
    server = serve(watched, **to(library, port, OTEL_EXPORTER_OTLP_TIMEOUT="1"))
    server.ready()
    ask(server, "1", "/plain/a/?")
    server.wait_for_log("are dropped: the ")
    receiver = Receiver(environment / "bin", tmp_path / "late.log", port)
    try:

        def sent() -> bool:
            ask(server, "2", "/plain/a/?")
            return "are sent again" in server.log and "2" in READ[library](receiver.reports)

        wait_for(sent, "that events are sent again")
        assert server.stop() == 0
    finally:
        receiver.stop()


def test_what_a_tracker_can_not_take_at_once_is_said_and_errors_have_room(
    tmp_path: Path, run: Run
) -> None:
    project = bake_into(tmp_path, telemetry="sentry")
    variables = server_environment(project) | {"SENTRY_TRACES_SAMPLE_RATE": "1"}
    done = run(project, "python", "-c", program("flood_a_tracker"), **variables)
    waiting = dict(re.findall(r"^(traces|both) (\d+)$", done.stdout, re.MULTILINE))
    # One is with the thread that sends; the client's own report may be among them.
    assert int(waiting["traces"]) in (127, 128)
    assert int(waiting["both"]) == 256
    assert done.stdout.count("events are dropped, traces first: more come at once") == 1


def test_it_is_off_without_an_address(library: str, watched: Path, serve: Serve) -> None:
    server = serve(watched).ready()
    assert server.get("/").status_code == 200
    (line,) = server.messages("telemetry.lifespan")
    assert re.fullmatch("off, since (SENTRY_DSN|OTEL_EXPORTER_OTLP_ENDPOINT) is not set", line)


def test_an_address_that_will_not_do_stops_the_start_and_is_not_shown(
    library: str, watched: Path, run: Run
) -> None:
    wrong = {next(iter(to(library, 1))): "htp://0123456789@tracker"}
    done = run(
        watched, "python", "manage.py", "check", check=False, **server_environment(watched) | wrong
    )
    assert done.returncode == 1
    assert "Not an address; it begins with http" in done.stderr
    assert "0123456789" not in done.stderr


# As people write them, and what is said of each; else what the exporter reads. None may show the key.
HEADERS: dict[str, str | dict[str, str]] = {
    "": {},
    "x-key=abc123supersecret99": {"x-key": "abc123supersecret99"},
    "x-team=tea, x-key=abc%2Cd%20e== ,": {"x-team": "tea", "x-key": "abc,d e=="},
    "Authorization=Bearer abc123supersecret99": {"authorization": "Bearer abc123supersecret99"},
    "Authorization=Basic%20YWRh==": {"authorization": "Basic YWRh=="},
    "x-dsn=https://abc@tea.example:4318?grpc=1": {"x-dsn": "https://abc@tea.example:4318?grpc=1"},
    "x-key=": {"x-key": ""},
    "abc123supersecret99": "Item 1 has no =:",
    "Authorization: Bearer abc123supersecret99": "Item 1 has no =:",
    "Authorization: Basic YWJjMTIzc3VwZXJzZWNyZXQ5OQ==": "Item 1 has no header's name before its =:",
    "x-team=tea,Authorization=Bearer abc,abc123supersecret99": "Item 3 has no =:",
    "=abc123supersecret99": "Item 1 has no header's name",
    "x key=abc123supersecret99": "Item 1 has no header's name",
    '"x-key=abc123supersecret99"': "Item 1 has no header's name",
    "{x-key=abc123supersecret99}": "Item 1 has no header's name",
    "x-kéy=abc123supersecret99": "Item 1 has a character that is to be percent-encoded",
    'x-key="abc123supersecret99"': "Item 1 has a character",
    "x-team=tea;x-key=abc123supersecret99": "Item 1 has a character",
    "x-key=abc123supersecret99\\": "Item 1 has a character",
    "x-key=abc123supersecret99\nx-team=tea": "Item 1 has a character",
    "x-key=abc123supersecret99%0A": "Item 1 has a character",
    "x-key=abc123supersecret99%E2%82%AC": "Item 1 has a character",
    "x-key=Bearer abc123%2Csupersecret99": "Item 1 has a character",
}


def test_headers_that_a_collector_would_not_get_stop_the_start_and_are_not_shown(
    tmp_path: Path, run: Run
) -> None:
    """The exporter would go on without them, and log them."""
    project = bake_into(tmp_path, telemetry="opentelemetry")
    judged = run(project, "python", "-c", program("judge_headers"), *HEADERS).stdout.splitlines()
    for (value, wanted), said in zip(HEADERS.items(), judged, strict=True):
        if isinstance(wanted, dict):
            assert json.loads(said) == wanted, value
        else:
            assert said.startswith(wanted), value
            assert said.endswith(": write NAME=VALUE,... without quotes, with %20 for a space in a value and %2C for a comma.")  # fmt: skip
            assert "supersecret" not in said

    for name in ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"):
        variables = server_environment(project) | {
            name: "Authorization: Bearer abc123supersecret99"
        }
        done = run(project, "python", "manage.py", "check", check=False, **variables)
        assert done.returncode == 1
        assert f"  {name}: Item 1 has no =: write NAME=VALUE," in done.stderr
        assert "abc123" not in done.stderr + done.stdout


def test_each_worker_has_its_own(
    library: str, watched: Path, serve: Serve, receiver: Receiver
) -> None:
    server = serve(watched, GRANIAN_WORKERS="2", **to(library, receiver.port))
    server.ready(workers=2)
    pids: dict[int, str] = {}

    def both() -> bool:
        answer = httpx.get(f"{server.address}/worker/?n={len(pids)}", timeout=PATIENCE).json()
        pids.setdefault(answer["pid"], answer["n"])
        return len(pids) == 2

    wait_for(both, "an answer from either worker")
    assert server.stop() == 0
    assert set(pids.values()) <= READ[library](receiver.reports).keys()


def test_a_client_that_leaves_is_no_error(
    library: str, watched: Path, serve: Serve, receiver: Receiver
) -> None:
    server = serve(watched, **to(library, receiver.port))
    server.ready()
    for number in ("1", "2"):
        with httpx.stream("GET", f"{server.address}/endless/?n={number}") as answer:
            next(answer.iter_bytes())
    wait_for(lambda: len(READ[library](receiver.reports)) == 2, "the spans of both streams")
    assert server.stop() == 0
    assert all(seen.errors == [] for seen in READ[library](receiver.reports).values())
    assert "event" not in {report["kind"] for report in receiver.reports}


@pytest.mark.parametrize("view", ["enqueues", "aenqueues"])
def test_a_task_has_a_trace_with_the_requests_id(
    library: str, watched: Path, serve: Serve, receiver: Receiver, view: str
) -> None:
    server = serve(watched, **to(library, receiver.port))
    server.ready()
    for number in ("7", "10"):
        ask(server, number, f"/{view}/?")
    assert server.stop() == 0
    name = "home.urls.bill"
    tasks = [r for r in receiver.reports if name in (r.get("transaction"), r.get("name"))]
    assert len(tasks) == (3 if library == "sentry" else 2)
    said = [
        report["tags"]["request_id"]
        if library == "sentry"
        else attributes(report)["http.request.id"]
        for report in tasks
    ]
    assert set(said) == {"request-7", "request-10"}
    assert "task 10" in receiver.text
    if library == "sentry":
        spans = {span["description"].split()[0] for task in tasks for span in task.get("spans", [])}
    else:
        traces = {task["traceId"] for task in tasks}
        spans = {r["name"].split()[0] for r in receiver.reports if r["traceId"] in traces}
    assert {"work", "SELECT"} <= spans


def test_a_secret_may_lie_in_a_file(
    library: str, watched: Path, serve: Serve, receiver: Receiver, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    variables = to(library, receiver.port)
    if library == "sentry":
        file.write_text(variables.pop("SENTRY_DSN") + "\n")
        variables["SENTRY_DSN_FILE"] = str(file)
        variables["SENTRY_DSN"] = ""
    else:
        file.write_text("x-key=a%20key%20of%20ours\n")
        other = tmp_path / "other"
        other.write_text("x-key=another\n")
        variables["OTEL_EXPORTER_OTLP_TRACES_HEADERS_FILE"] = str(file)
        variables["OTEL_EXPORTER_OTLP_HEADERS_FILE"] = str(other)
        variables["OTEL_EXPORTER_OTLP_HEADERS"] = ""
    server = serve(watched, **variables)
    server.ready()
    ask(server, "7", "/plain/a/?")
    assert server.stop() == 0
    assert "7" in READ[library](receiver.reports)
    if library == "opentelemetry":
        assert {report["key"] for report in receiver.reports} == {"a key of ours"}


def test_a_command_has_it_by_its_resources(
    library: str, watched: Path, run: Run, receiver: Receiver
) -> None:
    """And a process may open them twice."""
    variables = server_environment(watched) | to(library, receiver.port)
    run(watched, "python", "-c", program("watched_command"), **variables)
    text = receiver.text
    assert all(f"report {number}" in text for number in (1, 2))
    assert "SELECT" in text


def test_a_worker_reports_what_its_tasks_do(
    library: str, tmp_path: Path, run: Run, serve: Serve, receiver: Receiver
) -> None:
    """Each under the id of the request that enqueued it; the last ones before the worker ends."""
    project = with_errands(tmp_path, telemetry=library)
    add_ada(project, run)
    site = Site(project, serve, serve(project, **to(library, receiver.port)).ready())
    worker = site.worker(**to(library, receiver.port))
    wanted = set()
    for name in ("look", "look_async", "fail"):
        headers = {"X-Request-ID": f"of-{name}"}
        answer = site.server.get(f"/errands/{name}/", headers=headers)
        site.becomes(answer.text, "READY" if name == "fail" else "SUCCESSFUL")
        wanted.add((f"errands.tasks.{name}", f"of-{name}"))
    worker.wait_for_log("refused")
    assert worker.stop() == 0
    assert site.server.stop() == 0

    seen = set()
    for report in receiver.reports:
        if library == "sentry":
            seen.add((report.get("transaction"), report["tags"]["request_id"]))
        else:
            seen.add((report["name"], attributes(report).get("http.request.id")))
    assert wanted <= seen, receiver.text
    assert "ConnectionError" in receiver.text
    assert "hunter2" not in receiver.text


def test_each_attempt_is_reported_once_and_none_is_mixed_with_the_next_task(
    library: str, tmp_path: Path, run: Run, serve: Serve, receiver: Receiver
) -> None:
    project = with_errands(tmp_path, telemetry=library)
    set_option(project, '"MAX_ATTEMPTS": 2')
    add_ada(project, run)
    site = Site(project, serve, serve(project).ready())
    variables = to(library, receiver.port, WORKER_CONCURRENCY="1", DRAIN_TIMEOUT="0.5")
    worker = site.worker(**variables)
    site.becomes(site.enqueue("fail_once", file=tmp_path / "attempts"), "SUCCESSFUL")
    site.becomes(site.enqueue("fail"), "FAILED")
    site.becomes(site.enqueue("look"), "SUCCESSFUL")
    cut = site.enqueue("hold_async", begun=tmp_path / "begun")
    wait_for((tmp_path / "begun").exists, "it to begin")
    assert worker.stop() == 0
    assert site.row(cut)[0] == "READY", "given back, which is no error"

    errors, traces = Counter[str](), Counter[str]()
    for report in receiver.reports:
        path, _, name = str(report.get("transaction") or report.get("name")).rpartition(".")
        if path != "errands.tasks":
            continue
        if library == "sentry":
            (errors if report["kind"] == "event" else traces)[name] += 1
            assert report.get("user", {}).get("id") == ("ada" if name == "fail_once" else None)
        else:
            traces[name] += 1
            errors[name] += len(report.get("events", ()))
    assert errors == Counter(fail_once=1, fail=2)
    assert traces == Counter(fail_once=2, fail=2, look=1, hold_async=1)
    assert len([r for r in receiver.reports if r.get("kind") == "event"]) in (0, 3)
    assert "hunter2" not in receiver.text


def test_a_task_that_is_given_back_is_no_error(
    library: str, tmp_path: Path, run: Run, serve: Serve, receiver: Receiver
) -> None:
    """Its thread goes on until the process ends, so nothing tells the tracker of its end."""
    project = with_errands(tmp_path, telemetry=library)
    add_ada(project, run)
    site = Site(project, serve, serve(project).ready())
    worker = site.worker(**to(library, receiver.port, DRAIN_TIMEOUT="0.5"))
    cut = site.enqueue("hold", begun=tmp_path / "begun", release=tmp_path / "release")
    wait_for((tmp_path / "begun").exists, "it to begin")

    assert worker.stop() == 0

    assert site.row(cut)[0] == "READY"
    assert "errands: stopped in" in worker.log
    assert [r["message"] for r in worker.records if r["log.level"] not in ("INFO", "WARNING")] == []
    assert [r for r in receiver.reports if r.get("kind") == "event" or r.get("events")] == []


def test_a_task_that_does_not_stop_is_an_error_under_its_requests_id(
    tmp_path: Path, run: Run, serve: Serve, receiver: Receiver
) -> None:
    project = with_errands(tmp_path, telemetry="sentry")
    set_option(project, '"TASK_TIMEOUT_GRACE": 0.2')
    add_ada(project, run)
    site = Site(project, serve, serve(project).ready())
    variables = {"TASK_TIMEOUT": "0.2", "LIFESPAN_SHUTDOWN_TIMEOUT": "2"}
    worker = site.worker(**to("sentry", receiver.port, **variables))
    site.enqueue("hold_deaf", begun=tmp_path / "begun")

    assert worker.wait() == 75

    found = [r for r in receiver.reports if "did not stop" in str(r.get("logentry"))]
    assert [r["tags"]["request_id"] for r in found] == ["of-hold_deaf"]
    assert "GeneratorExit" not in receiver.text
