"""Starts by Compose the servers that this machine's variables name and that do not answer.

    python -m serving.services

A convenience for a developer's machine: where no engine answers, it says what to set. A deployed
process never calls it.
"""

import os
import socket
import subprocess
import sys
from urllib.parse import urlsplit

# What is asked for: variable, Compose's service, port unless the URL has one, and an example.
SERVICES = (
    ("DATABASE_URL", "db", 5432, "postgres://user:password@host:5432/name"),
    ("CACHE_URL", "cache", 6379, "redis://host:6379/0"),
)
ENGINE = os.environ.get("ENGINE", "docker")  # or podman, as in the Makefile
LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def main() -> None:
    """Ends the process with status 1 where there is no database; a cache can be missing."""
    startable: list[str] = []
    for variable, service, port, example in SERVICES:
        url = os.environ.get(variable, "")
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or port
        except ValueError:
            host = None
        if host not in LOOPBACK or answers(host, port):
            continue  # another machine's, or no URL at all: the settings say so
        if not startable and not engine_answers():
            say(
                f"nothing listens on {host}:{port}, and no engine ({ENGINE}) answers to start"
                f" Compose's {service!r}: set {variable}={example} in .env"
            )
            if service == "db":
                sys.exit(1)
            continue
        startable.append(service)
    if startable:
        # Not those of another checkout that has this one's name.
        check = [sys.executable, "-m", "deploy.checkout", "services"]
        if status := subprocess.run(check, check=False).returncode:  # noqa: S603
            sys.exit(status)
        command = [ENGINE, "compose", "up", "--detach", "--wait", *startable]
        sys.exit(subprocess.run(command, check=False).returncode)  # noqa: S603


def answers(host: str, port: int) -> bool:
    """Whether a server listens there."""
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError:
        return False
    return True


def engine_answers() -> bool:
    """Whether Compose is here, understands compose.yaml and has an engine to talk to."""
    for command in ([ENGINE, "compose", "config", "--quiet"], [ENGINE, "info"]):
        try:
            done = subprocess.run(command, capture_output=True, check=False, timeout=20)  # noqa: S603
        except (FileNotFoundError, subprocess.TimeoutExpired):
            return False
        if done.returncode:
            return False
    return True


def say(line: str) -> None:
    print(f"services: {line}", file=sys.stderr)


if __name__ == "__main__":
    main()
