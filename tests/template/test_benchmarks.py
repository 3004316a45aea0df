"""What the benchmarks make of what they measure: `make bench`, `make bench-compare`, `make bench-guard`."""

import argparse
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from benchmarks import header, load, run, sites
from benchmarks.__main__ import plan_of
from benchmarks.compare import compare
from benchmarks.guard import FLOORS, judge
from benchmarks.load import (
    CONNECTIONS,
    LoadError,
    late,
    percentile,
    read_h2load,
    read_wrk,
    since_due,
)
from benchmarks.plots import plots
from benchmarks.report import report
from benchmarks.results import Case, OtherRunError, Results, Sample, Samples, figure
from benchmarks.run import FULL, QUICK, Plan, Runner, turned
from benchmarks.servers import WAYS, ServerError, Site, cpu_time
from benchmarks.targets import ASYNC, SYNC, TARGETS
from benchmarks.workloads import WORKLOADS
from tests.conftest import ROOT
from tests.support.command import template_make

HEADER = {
    "date": "2026-11-27",
    "commit": "abc",
    "machine": {"processor": "P", "cores": 2, "memory, GB": 8, "system": "Linux"},
    "versions": {"python": "3.14.1", "django": "6.1.3"},
    "method": {"rounds": 5, "seconds of a load": 3, "new servers in each round": True},
}


def run_of(values: Mapping[tuple[Case, str], Iterable[float]], name: str = "answers") -> Results:
    """Results with these values, one each round."""
    samples = [
        Sample(case, way, number, {name: value, "cpu": 1e6 / value, "memory": 70.0})
        for (case, way), found in values.items()
        for number, value in enumerate(found)
    ]
    return Results(HEADER, tuple(samples))


# What the generators of load print

WRK = """Running 2s test @ http://127.0.0.1:8123/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.88ms    3.49ms  35.55ms   87.43%
  4000 requests in 2.00s, 3.03MB read
{errors}Requests/sec:  2000.00
"""
BROKEN = "  Socket errors: connect 1, read 20, write 300, timeout 4000\n"
REFUSED = "  Non-2xx or 3xx responses: 1000\n"
H2LOAD = """finished in {seconds}, 20.00 req/s, 197.76KB/s
requests: 64 total, 64 started, 64 done, {right} succeeded, 3 failed, 0 errored, 0 timeout
"""


def test_wrk_s_answers_are_counted() -> None:
    shown = read_wrk(WRK.format(errors=""))
    assert (shown.rate, shown.answered, shown.errors) == (2000, 4000, 0)


def test_wrong_answers_and_broken_connections_are_errors() -> None:
    shown = read_wrk(WRK.format(errors=BROKEN + REFUSED))
    assert shown.errors == 1000 + 1 + 20 + 300 + 4000
    assert (shown.rate, shown.answered) == (1500, 3000)


@pytest.mark.parametrize(("written", "seconds"), [("3.14s", 3.14), ("250.00ms", 0.25)])
def test_h2load_s_answers_are_counted(written: str, seconds: float) -> None:
    shown = read_h2load(H2LOAD.format(seconds=written, right=61))
    assert (shown.seconds, shown.answered, shown.errors) == (seconds, 61, 3)


def test_what_nobody_expected_is_shown() -> None:
    with pytest.raises(LoadError, match="segmentation fault"):
        read_wrk("segmentation fault")


def test_a_generator_that_fails_says_why() -> None:
    with pytest.raises(LoadError, match="sh ended with status 3: no such host"):
        load.generate("0", ["sh", "-c", "echo no such host >&2; exit 3"])


@pytest.mark.parametrize(
    ("seconds", "missing"), [(10.0, 0), (10.5, 0), (20.0, 10_000), (5.0, 5_000)]
)
def test_a_rate_that_is_not_held_is_an_error(seconds: float, missing: int) -> None:
    assert late(10_000, 1000, seconds) == missing


Answer = Callable[[int, int], int]  # how long one takes, by its connection and the time of asking


def few_stand_still(connection: int, at: int) -> int:
    return 1_000_000 if connection < 8 and 500_000 < at < 600_000 else 300


def all_stand_still(_: int, at: int) -> int:
    return 1_500_000 - at if 1_000_000 < at < 1_500_000 else 300


def backlog_grows(_: int, at: int) -> int:
    return 41_000


@pytest.mark.parametrize(
    "answer", [few_stand_still, all_stand_still, backlog_grows], ids=lambda each: each.__name__
)
def test_what_waits_for_its_connection_counts_from_when_it_was_due(answer: Answer) -> None:
    """Each of 128 connections asks every 40 ms for 4 s, or as soon as it has its answer."""
    pace = 40_000
    log, waited = [], []
    for connection in range(CONNECTIONS):
        first = free = connection * pace // CONNECTIONS
        for due in range(first, 4_000_000, pace):
            sent = max(due, free)
            free = sent + answer(connection, sent)
            log.append((sent, free - sent))
            waited.append((free - due) / 1000)
    told, true = since_due(log, pace), sorted(waited)
    assert len(told) == len(true)
    for share in (0.5, 0.9, 0.99, 0.999):
        assert percentile(told, share) == pytest.approx(percentile(true, share), rel=0.1, abs=1)


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(number) for number in range(1, 1001)]
    assert [percentile(values, share) for share in load.PERCENTILES.values()] == [500, 990, 999]
    assert percentile([7.0], 0.999) == 7


def test_cpu_time_is_that_of_all_threads_of_a_process() -> None:
    before = time.process_time()
    measured = cpu_time(os.getpid())
    assert before <= measured <= time.process_time()


def test_cpu_time_of_another_process_is_what_it_takes() -> None:
    with subprocess.Popen(["sleep", "60"]) as sleeps, subprocess.Popen(["yes"], stdout=-3) as runs:
        try:
            while cpu_time(runs.pid) < 0.2:
                time.sleep(0.01)
            assert cpu_time(sleeps.pid) < 0.1
        finally:
            sleeps.kill()
            runs.kill()


# Noise


@pytest.mark.parametrize(
    ("values", "interval"),
    [([5, 1, 4, 2, 3], (1, 5)), ([9, 1, 8, 2, 7, 3, 6, 4, 5], (2, 8))],
)
def test_an_interval_is_as_wide_as_few_rounds_have_it(
    values: list[float], interval: tuple[float, float]
) -> None:
    found = figure(values)
    assert found
    assert (found.low, found.high) == interval
    assert found.median == sorted(values)[len(values) // 2]


def test_fewer_than_five_rounds_tell_nothing() -> None:
    found = figure([1, 2, 3, 4])
    assert found
    assert (found.low, found.high) == (float("-inf"), float("inf"))
    assert figure([]) is None


# A run that goes on


def test_a_run_goes_on_where_it_was_ended(tmp_path: Path) -> None:
    first = Sample(SYNC, "ours", 0, {"answers": 1.5})
    Samples(tmp_path / "run", HEADER).add(first)
    again = Samples(tmp_path / "run", HEADER | {"date": "2026-11-28", "load": 7.5})
    assert again.all == {first.key: first}
    assert again.header == HEADER, "when it began"


def test_a_line_that_was_cut_off_is_measured_again(tmp_path: Path) -> None:
    samples = Samples(tmp_path / "run", HEADER)
    for number in range(2):
        samples.add(Sample(SYNC, "ours", number, {"answers": 1.5}))
    whole = (tmp_path / "run").read_text()
    (tmp_path / "run").write_text(whole[:-9])
    again = Samples(tmp_path / "run", HEADER)
    assert [sample.round for sample in again.all.values()] == [0]
    again.add(Sample(SYNC, "ours", 1, {"answers": 1.5}))
    assert (tmp_path / "run").read_text() == whole


def test_a_run_of_something_else_does_not_go_on(tmp_path: Path) -> None:
    Samples(tmp_path / "run", HEADER)
    with pytest.raises(OtherRunError, match=r"other commit: --fresh throws it away"):
        Samples(tmp_path / "run", HEADER | {"commit": "def"})


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    results = run_of({(SYNC, "ours"): [1, 2], (ASYNC, "daphne"): [3]})
    results.write(tmp_path / "results.json")
    assert Results.read(tmp_path / "results.json") == results


# What is measured


def test_every_round_has_another_first_and_nobody_always_the_same_before() -> None:
    ways = ["a", "b", "c"]
    orders = [turned(ways, number) for number in range(6)]
    assert {order[0] for order in orders} == set(ways)
    assert {(one, other) for order in orders for one, other in pairwise(order)} == {
        (one, other) for one in ways for other in ways if one != other
    }
    assert all(sorted(order) == ways for order in orders)


def test_a_whole_run_measures_every_workload_and_server() -> None:
    assert {case.workload for case in FULL.cases} == WORKLOADS.keys()
    assert {way for case in FULL.cases for way in FULL.ways_of(case)} == WAYS.keys()
    assert {1, 8, 32, 128} <= {case.concurrency for case in FULL.cases if case.workload == "sync"}
    assert {case.workers for case in FULL.cases} == {1, 2}
    assert {case.database for case in FULL.cases} == {"sqlite", "postgres"}
    assert min(FULL.rounds, QUICK.rounds) >= 5
    for target in TARGETS.values():
        for measure in (target.part, target.whole):
            assert measure.case in FULL.cases
            assert measure.way in FULL.ways_of(measure.case)


# What is told


def test_a_run_with_an_error_is_no_result() -> None:
    good = run_of({(SYNC, "ours"): [100.0] * 5, (SYNC, "daphne"): [50.0] * 5})
    bad = tuple(
        replace(sample, errors=7) if sample.way == "daphne" and sample.round == 3 else sample
        for sample in good.samples
    )
    results = Results(HEADER, bad)
    assert results.values(SYNC, "daphne", "cpu") == {}
    assert "| daphne | 7 failed | no result |" in report(results)
    assert all("daphne" not in plot for _, plot in plots(results))
    assert "| daphne | 50 | 0.50 x |" in report(good)


def test_what_is_compared_with_a_failed_run_is_no_result_either() -> None:
    good = both([100.0] * 5, [50.0] * 5)
    for way, other in (("ours", "granian-wsgi"), ("granian-wsgi", "ours")):
        broken = tuple(
            replace(sample, errors=1) if sample.way == way else sample for sample in good.samples
        )
        results = Results(HEADER, broken)
        told = report(results)
        assert "sync view, against Granian `wsgi` |" not in told
        assert f"| {WAYS[way].title} | 5 failed | no result |" in told
        assert f"| {WAYS[other].title} | {100 if other == 'ours' else 50} | " in told
        assert "2.00 x" not in told
        assert "0.50 x" not in told
        assert "better" not in "".join(compare(good, results))


def test_right_answers_count_where_the_other_runs_out_of_connections() -> None:
    row = Case("row", database="postgres")
    results = run_of({(row, "ours"): [100.0] * 5, (row, "granian-asgi"): [5.0] * 5})
    failing = tuple(
        replace(sample, errors=9) if sample.way == "granian-asgi" else sample
        for sample in results.samples
    )
    assert "right answers alone, against Django's handler | 20.00 x |" in report(
        Results(HEADER, failing)
    )
    ours_too = tuple(replace(sample, errors=9) for sample in results.samples)
    assert "right answers alone" not in report(Results(HEADER, ours_too))


def test_a_failed_start_is_told() -> None:
    start = Case("sync", "start", concurrency=1)
    assert "| daphne | 1 failed | no result |  |" in report(
        Results(HEADER, (Sample(start, "daphne", 0, {}, 1),))
    )


def test_the_table_of_ratios_says_which_is_reached() -> None:
    results = run_of(
        {(SYNC, "ours"): [90.0, 100.0, 110.0, 100.0, 100.0], (SYNC, "granian-wsgi"): [100.0] * 5}
    )
    told = report(results)
    assert (
        "| sync view, against Granian `wsgi` | 1.00 (0.90 to 1.10) x | at least 0.95 x | yes |"
        in told
    )
    slow = run_of({(SYNC, "ours"): [80.0] * 5, (SYNC, "granian-wsgi"): [100.0] * 5})
    assert "| 0.80 x | at least 0.95 x | no |" in report(slow)


def test_plots_are_read_on_light_and_dark_pages() -> None:
    results = run_of({(SYNC, way): [100.0, 120.0] for way in FULL.ways_of(SYNC)})
    (short, overview), (name, plot) = plots(results)
    assert (short, name) == ("overview.svg", "saturation.svg")
    assert "daphne" in plot
    assert "daphne" not in overview
    assert "prefers-color-scheme: dark" in plot
    names = [text.text for text in ET.fromstring(plot).iter("{http://www.w3.org/2000/svg}text")]  # noqa: S314
    drawn = {way for way in FULL.ways_of(SYNC) if WAYS[way].title.replace("`", "") in names}
    assert drawn == WAYS.keys() - {"bare"}


# What changed


def both(ours: Iterable[float], wsgi: Iterable[float]) -> Results:
    return run_of({(SYNC, "ours"): ours, (SYNC, "granian-wsgi"): wsgi})


def test_noise_is_no_change() -> None:
    before = both([100, 104, 98, 101, 107], [100.0] * 5)
    after = both([105, 99, 97, 108, 103], [100.0] * 5)
    assert list(compare(before, after)) == ["compared: 3"]


def test_a_busier_machine_is_no_change() -> None:
    before = both([100, 104, 98, 101, 107], [100.0] * 5)
    after = both([50, 52, 49, 51, 53], [50.0] * 5)
    assert list(compare(before, after)) == ["compared: 3"]


def test_what_changed_beyond_noise_is_told() -> None:
    before = both([100, 104, 98, 101, 107], [100.0] * 5)
    after = both([80, 84, 78, 81, 87], [100.0] * 5)
    (answers, cpu, *_) = compare(before, after)
    assert "answers a second, against Granian `wsgi`: 1.01 (0.98 to 1.07) -> 0.81" in answers
    assert answers.endswith("WORSE")
    assert "CPU a request" in cpu
    assert cpu.endswith("WORSE")
    assert next(compare(after, before)).endswith("better")


def test_other_versions_and_failed_requests_are_told() -> None:
    before = both([100.0] * 5, [100.0] * 5)
    versions = {"python": "3.14.1", "django": "6.2"}
    failed = tuple(replace(sample, errors=2) for sample in before.samples)
    told = list(compare(before, Results(HEADER | {"versions": versions}, failed)))
    assert told[0] == "other versions: django 6.1.3 -> 6.2"
    assert "this project: failed requests 0 -> 10" in told[1]


def test_generation_and_images_are_compared() -> None:
    def took(seconds: float) -> Results:
        case = Case("generation", "generation", database="", concurrency=1)
        names = ["this template", "another/template"]
        samples = (Sample(case, name, n, {"seconds": seconds}) for name in names for n in range(5))
        return Results(HEADER, tuple(samples))

    told = list(compare(took(1.0), took(2.0)))
    assert [line.split(":")[0] for line in told[:2]] == [
        "generation, this template",
        "generation, another/template",
    ]


def test_a_quick_run_is_told_from_one_with_new_servers() -> None:
    run_ = both([100.0] * 5, [100.0] * 5)
    quick = Results(HEADER | {"method": {"new servers in each round": False}}, run_.samples)
    for pair in ((run_, quick), (quick, run_), (quick, quick)):
        assert any(line.startswith("one start of each server") for line in compare(*pair))
    assert not any("one start" in line for line in compare(run_, run_))


def test_too_few_rounds_are_told() -> None:
    few = both([100.0] * 3, [100.0] * 3)
    assert "too few rounds" in list(compare(few, few))[-1]


# The guard


def guarded(**changed: list[float]) -> Results:
    """CPU times that keep all floors with ease, but for those of workloads of this project that are given."""
    measures = {each for floor in FLOORS.values() for each in (floor.part, floor.whole)}
    samples = []
    for each in measures:
        own = [10.0] * 9 if each.way == "ours" else [1000.0] * 9
        values = changed.get(each.case.workload, own) if each.way == "ours" else own
        samples += [
            Sample(each.case, each.way, number, {"cpu": value})
            for number, value in enumerate(values)
        ]
    return Results({}, tuple(samples))


def test_ratios_over_their_floors_pass(capsys: pytest.CaptureFixture[str]) -> None:
    assert judge(guarded()) == ""
    told = capsys.readouterr().out
    assert all(what in told for what in FLOORS)
    assert "FALLEN" not in told


def test_a_ratio_under_its_floor_fails() -> None:
    told = judge(guarded(rows=[5000.0] * 9))
    assert "10 rows from SQLite, against Granian `wsgi`: 0.20 x at most, and its floor is" in told


def test_noise_alone_does_not_fail() -> None:
    assert judge(guarded(rows=[5000.0] * 7 + [10.0] * 2)) == ""
    assert judge(guarded(rows=[5000.0] * 8 + [10.0])) != "", "one lucky round is not enough"


def test_failed_requests_fail() -> None:
    results = guarded()
    broken = tuple(replace(sample, errors=1) for sample in results.samples if sample.round == 0)
    assert "requests failed" in judge(Results({}, broken))


# As it is used


def test_a_part_of_a_run_is_what_was_asked_for() -> None:
    nothing = dict.fromkeys(
        ("quick", "way", "workload", "database", "workers", "concurrency", "rounds", "seconds")
    )
    asked = {"workload": ["row"], "concurrency": [128], "way": ["daphne", "ours"], "rounds": 7}
    plan = plan_of(argparse.Namespace(**(nothing | asked)))
    assert plan.cases == (Case("row", database="postgres", concurrency=128),)
    assert plan.ways == ("ours", "daphne")
    assert (plan.rounds, plan.seconds) == (7, FULL.seconds)
    assert plan_of(argparse.Namespace(**nothing)) == FULL
    for part in ({"concurrency": [8]}, {"way": ["uvicorn", "daphne"]}):
        kinds = {case.kind for case in plan_of(argparse.Namespace(**(nothing | part))).cases}
        assert "rate" not in kinds, "what it is half of is not measured"
        assert "saturation" in kinds
    assert plan_of(argparse.Namespace(**(nothing | {"quick": True}))) == QUICK


def test_what_differs_from_a_commit_is_part_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*words: str) -> None:
        subprocess.run(["git", *words], cwd=tmp_path, check=True, capture_output=True)

    monkeypatch.setattr(header, "ROOT", tmp_path)
    (tmp_path / "a").write_text("a")
    git("init")
    git("add", "a")
    git("-c", "user.name=Ada", "-c", "user.email=ada@example.com", "commit", "--message=a")
    names = [header.commit()]
    (tmp_path / "new").write_text("")
    names.append(header.commit())
    assert len(names[0]) == 12
    for name, text in (("a", "b"), ("a", "c"), ("new", "a"), ("new", "b")):
        (tmp_path / name).write_text(text)
        git("add", "a")
        names.append(header.commit())
    assert len(set(names)) == 6
    assert all(name.startswith(names[0]) for name in names)


def test_a_server_that_does_not_start_is_a_failure_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class OneStarts:
        way = "ours"

        def __init__(self, _: object, way: str, *__: object) -> None:
            if way != "ours":
                raise ServerError(f"{way} did not start")

        def kill(self) -> None: ...

    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(run, "Server", OneStarts)
    monkeypatch.setattr(run, "LOG", tmp_path / "log")
    monkeypatch.setattr(
        Runner, "measure", lambda _, __, case, number, server: Sample(case, server.way, number, {})
    )
    plan = Plan(("ours", "daphne"), (SYNC,))
    samples = Samples(tmp_path / "samples", HEADER)
    Runner(plan, samples).run_on(Site(tmp_path, tmp_path, {}, "", ""), [SYNC])
    found = {(sample.way, sample.errors) for sample in samples.all.values()}
    assert found == {("ours", 0), ("daphne", 1)}
    assert Runner(plan, samples).missing(SYNC) == ["daphne"], "it is measured again"
    assert len(samples.all) == 2 * plan.rounds
    Runner(plan, samples).run_on(Site(tmp_path, tmp_path, {}, "", ""), [SYNC])
    assert capsys.readouterr().out.count("FAILED: daphne did not start") == 2 * plan.rounds


@pytest.mark.usefixtures("turn_to_measure")
def test_two_do_not_measure_at_the_same_time() -> None:
    sites.FOLDER.mkdir(parents=True, exist_ok=True)
    lock = FileLock(sites.FOLDER / "lock")
    with suppress(Timeout):  # somebody measures
        lock.acquire(timeout=0)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks", "guard"],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
    finally:
        lock.release()
    assert done.returncode == 1
    assert "another process measures" in done.stderr


def test_comparing_reads_two_files(tmp_path: Path) -> None:
    for name, ours in (("before", 100.0), ("after", 80.0)):
        both([ours] * 5, [100.0] * 5).write(tmp_path / name)
    files = f"BEFORE={tmp_path / 'before'}", f"AFTER={tmp_path / 'after'}"
    assert "0.80 x, WORSE" in template_make(ROOT, "bench-compare", *files)
