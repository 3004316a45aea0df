"""Asks the engine that runs the containers, by its own commands.

What stands in this folder runs on the machine itself, outside the project's environment: Python 3.9 is
enough, and the standard library.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from typing import Any

ENGINE = os.environ.get("ENGINE") or "docker"

# What Compose writes on every container that it makes.
PROJECT = "com.docker.compose.project"
SERVICE = "com.docker.compose.service"
FOLDER = "com.docker.compose.project.working_dir"
ONEOFF = "com.docker.compose.oneoff"


# By which somebody tells this process to stop.
STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class EngineError(Exception):
    """A command of the engine failed; the text is the last line of what it said."""


def write_line(line: str) -> None:
    """Writes a line to stderr at once, also where the handler of a signal interrupts another line.

    Python's own streams raise RuntimeError then, and a lost terminal would raise OSError: neither may stop
    a deployment half-way. https://docs.python.org/3/library/io.html#reentrancy
    """
    with contextlib.suppress(OSError):
        os.write(2, f"{line}\n".encode(errors="replace"))


def ask(*arguments: str, timeout: float = 120.0) -> str:
    """What a command of the engine prints.

    A session of its own, so that a Ctrl-C is ours to deal with and not the command's as well.

    Raises EngineError where it fails, lasts longer than `timeout` seconds or is not installed.
    """
    while True:
        try:
            done = subprocess.run(
                [ENGINE, *arguments],
                capture_output=True,
                text=True,
                check=False,
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                timeout=timeout,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise EngineError(f"{ENGINE}: {error}") from None
        # Before a process has its session, it can die of a Ctrl-C that was meant for this one.
        if -done.returncode not in STOP:
            break
    if done.returncode:
        said = done.stderr.strip() or done.stdout.strip() or f"status {done.returncode}"
        raise EngineError(said.splitlines()[-1])
    return done.stdout.strip()


def inspect(kind: str, *names: str) -> list[dict[str, Any]]:
    """What the engine knows of containers, networks or images; those that no longer exist are left out."""
    if not names:
        return []
    try:
        found: list[dict[str, Any]] = json.loads(ask(kind, "inspect", *names))
    except EngineError as error:
        if len(names) > 1:  # one of them may be gone
            return [entry for name in names for entry in inspect(kind, name)]
        if "no such" in str(error).lower() or "not found" in str(error).lower():
            return []
        raise
    return found


def labelled(kind: str, **labels: str) -> list[str]:
    """The ids of all containers (running or not), volumes or networks that have these labels."""
    listing = ["ls", "--quiet", *(["--all"] if kind == "container" else [])]
    wanted = [f"--filter=label={name}={value}" for name, value in labels.items()]
    return ask(kind, *listing, *wanted).splitlines()


def configuration() -> dict[str, Any]:
    """The Compose project as Compose itself reads it: files, .env and variables.

    Raises EngineError, with Compose's words, where it cannot be read.
    """
    said = ask("compose", "config", "--format", "json")
    try:
        # It writes each dollar twice, for another Compose to read.
        read: dict[str, Any] = json.loads(said.replace("$$", "$"))
    except ValueError:
        raise EngineError(f"`{ENGINE} compose config` gives no JSON; is it Compose v2?") from None
    return read


def is_local() -> bool:
    """Whether the engine runs on this machine, so that its ports are this machine's."""
    try:
        context = json.loads(ask("context", "inspect"))[0]
    except (EngineError, LookupError):
        return True  # podman has none
    host = context.get("Endpoints", {}).get("docker", {}).get("Host", "")
    return not host or str(host).startswith(("unix:", "npipe:", "fd:"))
