"""What a run was measured on, and with: enough to say whether two runs can be compared."""

import hashlib
import json
import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.run import Cores, Plan
from benchmarks.sites import UV
from tests.conftest import ROOT, clean_environment

PACKAGES = frozenset(
    """asgiref daphne django granian gunicorn httptools hypercorn psycopg twisted uvicorn uvicorn-worker
    uvloop whitenoise""".split()
)


def shown(*command: str | Path) -> str:
    """What a program prints; nothing where there is none, or it fails."""
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout + done.stderr


def processor() -> str:
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()


def memory() -> float:
    """Of the machine, in GB."""
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9)


def commit() -> str:
    """The commit; where files differ from it, with a digest of what differs."""
    described = shown("git", "describe", "--always", "--abbrev=12", "--exclude=*").strip()
    if not shown("git", "status", "--porcelain"):
        return described
    differs = hashlib.sha256(shown("git", "diff", "HEAD").encode())
    for name in shown("git", "ls-files", "-z", "--others", "--exclude-standard").split("\0"):
        if (file := ROOT / name).is_file():
            differs.update(name.encode() + file.read_bytes())
    return f"{described}-dirty-{differs.hexdigest()[:8]}"


def versions(environment: Path) -> dict[str, str]:
    """Of the packages that serve, of the generators of load, and of what is beside them."""
    listed = subprocess.run(
        [UV, "pip", "list", "--quiet", "--format=json", "--python", environment],
        env=clean_environment(), capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    packages = {each["name"]: each["version"] for each in json.loads(listed)}
    python = environment / "bin" / "python"
    postgres = max(Path("/usr/lib/postgresql").glob("*/bin/postgres"), default="postgres")
    found = {name: version for name, version in packages.items() if name in PACKAGES}
    programs: dict[str, tuple[str | Path, ...]] = {
        "wrk": ("wrk", "-v"),
        "h2load": ("h2load", "--version"),
        "PostgreSQL": (postgres, "--version"),
        "SQLite": (python, "-c", "import sqlite3; print(sqlite3.sqlite_version)"),
    }
    for name, command in programs.items():
        version = re.search(r"\d+\.\d+[\w.]*", shown(*command))
        found[name] = version[0] if version else "none"
    return {"python": shown(python, "--version").split()[-1], **found}


def header(plan: Plan, environment: Path) -> dict[str, Any]:
    """All of it. A run goes on only where it is the same, but for its date and the load of the machine."""
    cores = Cores()
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "load": round(os.getloadavg()[0], 1),
        "commit": commit(),
        "machine": {
            "processor": processor(),
            "cores": len(cores.all),
            "memory, GB": memory(),
            "system": f"{platform.system()} {platform.release()}",
        },
        "versions": versions(environment),
        "method": {
            "rounds": plan.rounds,
            "seconds of a load": plan.seconds,
            "seconds at a fixed rate": plan.rate_seconds,
            "new servers in each round": plan.fresh,
            "cores of a server": cores.server(1),
            "cores of the load": cores.load(1),
        },
    }
