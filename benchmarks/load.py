"""Load on a server, by generators from the distribution, on cores of its own.

wrk (Debian's wrk) asks as fast as a server answers. It has no fixed rate, and none of Debian 12's has all that is
wanted of one, so h2load (Debian's nghttp2-client) is used: its connections begin one after the other and each asks
at its own pace. One connection's request waits for the one before it, so its time counts from when it was due, and a
rate counts only if as many were asked as were to be. hey's `-q` and httperf were the others: hey drops what is due
while a worker waits, and httperf opens a connection for each request and knows no percentiles.
"""

import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from math import ceil
from pathlib import Path

POST = Path(__file__).with_name("post.lua")
PATIENCE = 30  # seconds until an answer counts as failed
LONGEST = 300  # seconds that a generator may take
CONNECTIONS = 128  # of a load at a fixed rate
HELD = 0.95  # of a rate: where less or more was asked, it was not held
EDGE = 0.2  # seconds to begin and to end in
UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class LoadError(Exception):
    """A load generator printed what nobody expected."""


@dataclass(frozen=True)
class Request:
    """What is asked: `body` is a file that is sent by POST."""

    url: str
    headers: Mapping[str, str]
    body: Path | None = None


@dataclass(frozen=True)
class Load:
    """What a load has shown: right answers a second, right answers, and requests that failed."""

    rate: float
    answered: int
    errors: int
    seconds: float
    percentiles: Mapping[str, float] | None = None  # milliseconds, at a fixed rate


def generate(cores: str, command: list[str]) -> str:
    try:
        done = subprocess.run(
            ["taskset", "-c", cores, *command],
            capture_output=True, text=True, check=False, timeout=LONGEST,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise LoadError(f"{command[0]} has not ended after {LONGEST} s") from None
    if done.returncode:
        raise LoadError(f"{command[0]} ended with status {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def found(pattern: str, shown: str) -> tuple[str, ...]:
    match = re.search(pattern, shown)
    if not match:
        raise LoadError(f"no {pattern!r} in what the load generator printed:\n{shown}")
    return match.groups()


def saturate(cores: str, request: Request, connections: int, seconds: int) -> Load:
    """As many requests as these connections can have answered."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", f"--timeout={PATIENCE}s"]
    command += [f"-H{name}: {value}" for name, value in request.headers.items()]
    if request.body:
        command += [f"-s{POST}", request.url, str(request.body)]
    else:
        command.append(request.url)
    return read_wrk(generate(cores, command))


def read_wrk(shown: str) -> Load:
    """What wrk has printed; a status of 300 or more is an error, as are connections that broke."""
    number, duration, unit = found(r"(\d+) requests in ([\d.]+)(us|ms|s|m|h),", shown)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", shown)
    broken = re.search(
        r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", shown
    )
    wrong = int(refused[1]) if refused else 0
    errors = wrong + (sum(map(int, broken.groups())) if broken else 0)
    answered = int(number) - wrong
    seconds = float(duration) * UNITS[unit]
    return Load(answered / seconds, answered, errors, seconds)


def h2load(
    cores: str, request: Request, connections: int, number: int, *options: str
) -> tuple[Load, str]:
    command = ["h2load", "--h1", f"-c{connections}", f"-n{number}", *options]
    command += [f"-H{name}: {value}" for name, value in request.headers.items()]
    command += [f"-d{request.body}"] if request.body else []
    shown = generate(cores, [*command, request.url])
    return read_h2load(shown), shown


def read_h2load(shown: str) -> Load:
    """What h2load has printed."""
    duration, unit = found(r"finished in ([\d.]+)(us|ms|s|m|h),", shown)
    total, right = found(r"requests: (\d+) total, .*? (\d+) succeeded", shown)
    seconds = float(duration) * UNITS[unit]
    return Load(int(right) / seconds, int(right), int(total) - int(right), seconds)


def at_once(cores: str, request: Request, number: int) -> Load:
    """So many requests at the same time, each on a connection of its own, until the last is answered."""
    return h2load(cores, request, number, number)[0]


def at_rate(cores: str, request: Request, rate: float, seconds: float) -> Load:
    """Requests at a fixed rate, whether or not earlier ones were answered: an open loop.

    Time counts from when a request was due, also where its connection still waited for the one before.
    A rate that the server, or the load, does not hold is an error for each request that is missing.
    """
    number = max(CONNECTIONS, round(rate * seconds))
    together = ceil(rate / 1000)  # connections that begin in the same millisecond
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        load, _ = h2load(
            cores, request, CONNECTIONS, number, f"-r{together}",
            f"--rate-period={max(1, round(1000 * together / rate))}ms",
            f"--rps={rate / CONNECTIONS:.4f}", f"--log-file={log}",
        )  # fmt: skip
        asked = [tuple(map(int, line.split()[::2])) for line in log.read_text().splitlines()]
    if not asked:
        raise LoadError(f"h2load asked {request.url} nothing")
    times = since_due(asked, CONNECTIONS / rate * 1e6)
    return Load(
        load.rate, load.answered, load.errors + late(number, rate, load.seconds), load.seconds,
        {name: percentile(times, share) for name, share in PERCENTILES.items()},
    )  # fmt: skip


def since_due(asked: Sequence[tuple[int, ...]], pace: float) -> list[float]:
    """How long after it was due each request was answered, in milliseconds, the shortest first.

    `asked`: when each was sent, and how long its answer took from then on; `pace`: between two requests of a
    connection; all in microseconds. A connection's first request is on time, and begins its pace. The log does not
    say which connection sent a request: of those that wait for no answer, the one whose turn came first.
    """
    waits: list[tuple[float, float]] = []  # when the answer comes, and when the next request is due
    free: list[float] = []  # when the next request of each connection without an open one is due
    times = []
    for place, (sent, took) in enumerate(sorted(asked)):
        while waits and waits[0][0] <= sent:
            heappush(free, heappop(waits)[1])
        if place < CONNECTIONS:
            due: float = sent
        else:
            due = heappop(free) if free else heappop(waits)[1]
        times.append((max(0.0, sent - due) + took) / 1000)
        heappush(waits, (sent + took, due + pace))
    return sorted(times)


def late(number: int, rate: float, seconds: float) -> int:
    """How many of so many requests came too late, or too early, for their rate: none where it was held."""
    due = number / rate
    held = HELD * due - EDGE <= seconds <= due / HELD + EDGE
    return 0 if held else max(1, abs(round(number - rate * seconds)))


PERCENTILES = {"p50": 0.5, "p99": 0.99, "p999": 0.999}


def percentile(ordered: list[float], share: float) -> float:
    """The smallest value that so many are not above."""
    return ordered[max(0, ceil(share * len(ordered)) - 1)]
