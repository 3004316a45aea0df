"""Looks for what is wrong before anything starts: a line for each problem, with the fix.

    python -I packages/serving-tools/src doctor                     # everything: `make doctor`
    python -I packages/serving-tools/src doctor setup|dev|run|up    # what concerns that target; silent if all is well

Exit status 1 where something is fatal. It starts and changes nothing. It needs Python 3.9 and no
package, since a missing package may be the reason to run it. What needs Django is asked by the project's own
interpreter, in a process of its own (`doctor_inside`), whatever state the settings are in.
"""

from __future__ import annotations

import difflib
import errno
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from serving_tools.env_file import EnvFileError, read
from serving_tools.ports import why_not_bound
from serving_tools.secret_files import from_file

ROOT = Path.cwd()  # the project's

LOOPBACK = {"127.0.0.1", "localhost", "::1"}
MARK = "doctor: "  # before each finding that `doctor_inside` prints
COMPOSE_MIN, ENGINE_MIN = (2, 24), (25, 0)  # `!reset`, `required: false`; `start_interval`
DISK_MIN = 1024**3  # bytes


@dataclass
class Finding:
    """One line: "ok", "warning" or "fatal", what it is about, and what to do."""

    grade: str
    subject: str
    text: str


@dataclass
class Case:
    """What several checks want to know."""

    purpose: str
    environ: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    local: dict[str, str] = field(default_factory=dict)  # what .env says
    answers: bool = False  # the engine and its Compose
    published: set[int] = field(default_factory=set)  # the ports that Compose publishes

    def get(self, name: str, default: str = "") -> str:
        return self.environ.get(name) or default

    @property
    def engine(self) -> str:
        return self.get("ENGINE", "docker")


def env_file(case: Case) -> Iterator[Finding]:
    """.env as its readers see it."""
    file = ROOT / ".env"
    if not file.exists() and case.purpose == "setup":
        return
    try:
        case.local = read(file, os.environ, ".env")
    except EnvFileError as error:
        yield from unreadable(error)
        return
    for name, value in case.local.items():
        case.environ.setdefault(name, value)
    if os.name == "posix" and file.stat().st_mode & 0o077:
        yield Finding("warning", ".env", "others on this machine may read it; `chmod 600 .env`")
    yield from misspelled(case)
    if case.purpose != "all":
        return
    for name in case.local.keys() & os.environ.keys():
        if os.environ[name] != case.local[name]:
            yield Finding("warning", ".env", f"{name} is set in the shell too, which wins")
    others, different = by_other_readers(case), False
    for reader, values in others.items():
        for name in case.local:
            if values.get(name) != case.environ[name]:
                different = True
                yield Finding("fatal", ".env", f"{reader} reads {name} otherwise; quote its value")
    if not different:
        readers = ", ".join(["make", "manage.py", *others])
        yield Finding("ok", ".env", f"{len(case.local)} variables, read alike by {readers}")


def unreadable(error: EnvFileError) -> Iterator[Finding]:
    """A finding for each line of a file, as ".env line 3: ..."."""
    for line in str(error).splitlines():
        found = re.match(r"(\S+(?: line \d+)?):? (.*)", line)
        yield Finding("fatal", found[1] if found else ".env", found[2] if found else line)


def misspelled(case: Case) -> Iterator[Finding]:
    """Names that nothing reads, and that resemble one that is read."""
    files = [
        "config/settings.py",
        "config/granian.env",
        ".env.example",
        "Makefile",
        "deploy/Caddyfile",
    ]
    text = "".join(map(text_of, [*files, *(path.name for path in ROOT.glob("compose*.yaml"))]))
    known = set(
        re.findall(r"\b[A-Z][A-Z0-9]*_[A-Z0-9_]+|\b(?:DEBUG|HOST|IMAGE|LIFESPAN|PORT|TAG)\b", text)
    )
    for name in case.local.keys() - known:
        if name.startswith(("GRANIAN_", "COMPOSE_")) or name.removesuffix("_FILE") in known:
            continue
        if near := difflib.get_close_matches(name, sorted(known), 1, 0.85):
            yield Finding("warning", ".env", f"nothing reads {name}; did you mean {near[0]}?")


def by_other_readers(case: Case) -> dict[str, dict[str, str | None]]:
    """What uv and Compose read, if they are installed."""
    found: dict[str, dict[str, str | None]] = {}
    uv = shutil.which(case.get("UV", "uv"))  # `make` and `uv run` set UV
    show = "import json, os; print(json.dumps(dict(os.environ)))"
    if uv:
        run = [
            uv,
            "run",
            "--quiet",
            "--no-project",
            "--python",
            sys.executable,
            "--env-file",
            ".env",
        ]
        if said := output([*run, "--", sys.executable, "-I", "-c", show]):
            found["uv"] = json.loads(said)
    service = {"image": "none", "environment": list(case.local)}
    asked = json.dumps({"name": "doctor", "services": {"none": service}})  # JSON is YAML, too
    command = ["compose", "--project-directory", ".", "--file", "-", "config", "--format", "json"]
    variables = {key: value for key, value in os.environ.items() if key != "COMPOSE_FILE"}
    if said := output([case.engine, *command], given=asked, environ=variables):
        values = json.loads(said)["services"]["none"]["environment"]
        found["Compose"] = {key: (text or "").replace("$$", "$") for key, text in values.items()}
    return found


def required(case: Case) -> Iterator[Finding]:
    """What has no default; the settings check all the rest."""
    if case.purpose == "setup" or not (ROOT / ".env").exists():
        return
    names = ["SECRET_KEY"]
    if case.purpose == "up":
        names += ["POSTGRES_PASSWORD"] if (ROOT / "data/postgres.py").exists() else []
    else:
        names += ["DATABASE_URL"] if (ROOT / "data/postgres.py").exists() else []
        names += ["CACHE_URL"] if (ROOT / "data/valkey.py").exists() else []
        if case.get("DEBUG").lower() in {"1", "true", "yes", "on", "t", "y"}:
            names.remove("SECRET_KEY")
    problems = 0
    for name in names:
        fix = "; `make secret` prints one" if "URL" not in name else "; .env.example shows one"
        try:
            value = from_file(name, case.environ) or case.get(name)
        except ValueError as error:
            yield Finding("fatal", name, str(error))
            problems += 1
            continue
        if not value or (name == "SECRET_KEY" and len(value) < 50):
            why = f"has {len(value)} characters, 50 are the least" if value else "is not set"
            yield Finding("fatal", name, why + fix)
            problems += 1
    if case.purpose == "all" and not problems:
        yield Finding("ok", "variables", f"{', '.join(names)} are set")


def interpreter(case: Case) -> Iterator[Finding]:
    """The environment's Python against the one that .python-version names."""
    wanted = text_of(".python-version").strip()
    folder = environment(case)
    version = re.search(
        r"^version(?:_info)? *= *(\S+)", text_of(folder / "pyvenv.cfg"), re.MULTILINE
    )
    if not version:
        if case.purpose == "all":
            yield Finding(
                "fatal", "interpreter", f"{folder} is no environment; `make setup` makes it"
            )
        return
    if wanted and not f"{version[1]}.".startswith(f"{wanted}."):
        text = f"{folder} has Python {version[1]}, .python-version says {wanted}; `make setup` fixes it"
        yield Finding("warning", "interpreter", text)
    elif case.purpose == "all":
        yield Finding("ok", "interpreter", f"Python {version[1]}")


def engine(case: Case) -> Iterator[Finding]:
    """The engine and its Compose, which `up` needs."""
    grade = "fatal" if case.purpose == "up" else "warning"
    if not shutil.which(case.engine):
        text = f"{case.engine} is not installed; `make up` needs it, or ENGINE=podman"
        yield Finding(grade, "engine", text)
        return
    server = output([case.engine, "version", "--format", template(".Server.Version")])
    if not server:
        text = f"{case.engine} does not answer; start it, or let this user ask it (`{case.engine} info`)"
        yield Finding(grade, "engine", text)
        return
    compose = output([case.engine, "compose", "version", "--short"])
    if not compose:
        text = (
            f"`{case.engine} compose` is missing; install Compose {COMPOSE_MIN[0]}.{COMPOSE_MIN[1]}"
        )
        yield Finding(grade, "engine", text)
        return
    case.answers = True
    if case.engine == "docker" and (numbers(compose) < COMPOSE_MIN or numbers(server) < ENGINE_MIN):
        text = f"Engine {server.strip()} with Compose {compose.strip()} is too old: 25 and 2.24 are the least"
        yield Finding("warning", "engine", text)
    elif case.purpose == "all":
        text = f"{case.engine} {server.strip()}, Compose {compose.strip()}"
        yield Finding("ok", "engine", text)


def containers(case: Case) -> Iterator[Finding]:
    """What would stop `make up`: another checkout's containers, a deployment, taken ports."""
    if not case.answers:
        return
    os.environ.update(case.environ)  # of .env too, as the other targets ask it
    from serving_tools.deploy import checkout, engine

    grade = "fatal" if case.purpose == "up" else "warning"
    try:
        found = checkout.problems("up")
        if case.purpose == "all":
            configured = engine.configuration()
            numbered = checkout.published(configured)
            case.published = {int(port["published"]) for _, port, _ in numbered}
    except engine.EngineError as error:
        yield Finding("warning", "Compose", f"can't be asked: {error}")
        return
    for line in found:
        yield Finding(grade, "Compose", line)
    if case.purpose == "all" and not found:
        listed = ", ".join(map(str, sorted(case.published))) or "none"
        text = f"nothing stands against `make up` as {configured['name']}, with the ports {listed}"
        yield Finding("ok", "Compose", text)


def ports(case: Case) -> Iterator[Finding]:
    """Whether the server of `make run` can listen, and who has the port if it can't."""
    wanted = [("PORT", case.get("HOST", "127.0.0.1"), case.get("PORT", "8000"))]
    if case.get("GRANIAN_METRICS_ENABLED").lower() == "true":
        first, workers = case.get("GRANIAN_METRICS_PORT", "9090"), case.get("GRANIAN_WORKERS", "1")
        if first.isdigit() and workers.isdigit():
            host = case.get("GRANIAN_METRICS_ADDRESS", "127.0.0.1")
            for port in range(int(first), int(first) + int(workers) + 1):
                wanted.append(("GRANIAN_METRICS_PORT", host, str(port)))
    for variable, host, number in wanted:
        if number.isdigit() and int(number) in case.published:
            continue  # `containers` has reported those
        yield from one_port(case, variable, host, number)


def one_port(case: Case, variable: str, host: str, port: str) -> Iterator[Finding]:
    """One port that the project's server wants to listen on."""
    if not (port.isdigit() and int(port) < 65536):
        yield Finding(
            "fatal", variable, f"{port!r} is no port, a number from 1 to 65535; correct it"
        )
        return
    problem = why_not_bound(host, int(port))
    if not problem:
        if case.purpose == "all":
            yield Finding("ok", variable, f"{host}:{port} is free")
        return
    if problem != errno.EADDRINUSE:
        reason = os.strerror(problem) if isinstance(problem, int) else problem
        yield Finding("fatal", variable, f"{host}:{port}: {reason}; correct HOST or {variable}")
        return
    grade = "warning" if case.purpose == "all" else "fatal"
    free = next((n for n in range(int(port) + 1, 65535) if not why_not_bound(host, n)), 0)
    fix = f"`make run PORT={free}`" if variable == "PORT" else f"{variable}={free} in .env"
    text = f"{host}:{port} is taken by {who_listens(host, int(port))}; stop it, or set {fix}"
    yield Finding(grade, variable, text)


def disk(case: Case) -> Iterator[Finding]:
    """Room for the database, the log and the image."""
    free = shutil.disk_usage(ROOT).free
    text = f"{free / 1024**3:.1f} GB are free here"
    if free < DISK_MIN:
        yield Finding("warning", "disk", f"{text}; make room")
    else:
        yield Finding("ok", "disk", text)


def from_inside(case: Case) -> Iterator[Finding]:
    """Settings, databases, cache and proxy trust, asked by the project's own interpreter."""
    python = environment(case) / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        return  # `interpreter` has reported that
    try:
        flags = read(ROOT / "config" / "granian.env", case.environ, "config/granian.env")
    except EnvFileError as error:
        yield from unreadable(error)
        return
    variables = {**flags, **case.environ}
    variables.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    command = [str(python), "-m", "serving_tools.doctor_inside"]
    try:
        done = subprocess.run(  # noqa: S603
            command, env=variables, capture_output=True, text=True, check=False, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        yield Finding("fatal", "Django", f"{python}: {type(error).__name__}; `make setup` fixes it")
        return
    for line in done.stdout.splitlines():
        if line.startswith(MARK):
            yield Finding(*json.loads(line[len(MARK) :]))
    if done.returncode:
        why = "`make manage ARGS=check` shows why"
        yield Finding("fatal", "Django", f"the check ended with status {done.returncode}; {why}")


CHECKS: list[tuple[Callable[[Case], Iterator[Finding]], set[str]]] = [
    (env_file, {"setup", "run", "up", "all"}),
    (required, {"run", "up", "all"}),
    (interpreter, {"run", "all"}),
    (engine, {"up", "all"}),
    (containers, {"up", "all"}),
    (ports, {"run", "all"}),
    (disk, {"all"}),
    (from_inside, {"all"}),
]


def described(error: BaseException) -> str:
    """An error on one line, with the place in the project's own code where it was raised."""
    place, trace = "", error.__traceback__
    while trace:
        file = Path(trace.tb_frame.f_code.co_filename)
        if file.is_relative_to(ROOT) and not {".venv", "packages"} & set(file.parts):
            place = f" ({file.relative_to(ROOT)}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return f"{type(error).__name__}: {' '.join(str(error).split())}{place}"


def output(
    command: list[str], given: str | None = None, environ: dict[str, str] | None = None
) -> str | None:
    """What a program prints; None if it is missing, fails or takes more than 10 s."""
    try:
        done = subprocess.run(  # noqa: S603
            command, input=given, env=environ, capture_output=True, text=True, check=False,
            stdin=None if given else subprocess.DEVNULL, timeout=10,
        )  # fmt: skip
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def template(part: str) -> str:
    """A part of what the engine prints, as its --format takes it: in two pairs of braces."""
    return "{" * 2 + part + "}" * 2


def text_of(path: str | Path) -> str:
    """A file's text; empty if it can't be read."""
    try:
        return (ROOT / path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def environment(case: Case) -> Path:
    """The folder of the project's environment."""
    return Path(case.get("UV_PROJECT_ENVIRONMENT", ".venv"))


def numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:2]))


def who_listens(host: str, port: int) -> str:
    """Who listens on a port, as far as this user may know."""
    from serving_tools.deploy import checkout, engine

    try:
        containers = checkout.all_containers()
    except engine.EngineError:
        containers = []
    return checkout.holder(containers, port, host)


def main(purpose: str = "all") -> int:
    """Runs the checks of one purpose; returns the exit status."""
    if purpose == "dev":  # as `run`, with what `make dev` sets
        os.environ["DEBUG"], purpose = "true", "run"
    case, fatal = Case(purpose), False
    for check, purposes in CHECKS:
        if purpose not in purposes:
            continue
        try:
            findings = list(check(case))
        except Exception as error:  # a check that fails itself must not hide the others
            findings = [Finding("warning", check.__name__, f"can't be told: {described(error)}")]
        for finding in findings:
            fatal = fatal or finding.grade == "fatal"
            if purpose == "all" or finding.grade != "ok":
                stream = sys.stdout if purpose == "all" else sys.stderr
                print(f"{finding.grade:<8} {finding.subject}: {finding.text}", file=stream)
        if check is env_file and fatal and purpose != "all":
            break  # the others would look at variables that nothing will have
    return int(fatal)


if __name__ == "__main__":
    if set(sys.argv[1:]) <= {"setup", "dev", "run", "up"} and len(sys.argv) <= 2:
        sys.exit(main(*sys.argv[1:]))
    else:
        sys.exit("usage: doctor [setup | dev | run | up]")
