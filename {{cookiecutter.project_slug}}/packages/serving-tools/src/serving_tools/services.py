"""Starts, by Compose, the servers that the variables name on this machine and that do not answer.

    python -m serving_tools.services

Also reports what answers there, if that is not this project's. It is a convenience for a developer's machine:
without an engine, it says what to set. A deployed process never calls it.
"""

import json
import os
import socket
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit

from serving_tools.secret_files import from_file, write

# Variable, Compose's service, port unless the URL has one, and an example.
SERVICES = (
    ("DATABASE_URL", "db", 5432, "postgres://user:password@host:5432/name"),
    ("CACHE_URL", "cache", 6379, "redis://host:6379/0"),
)
ENGINE = os.environ.get("ENGINE", "docker")  # or podman, as in the Makefile
LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def main() -> None:
    """Ends the process with status 1 if there is no database; a cache may be missing."""
    startable: list[str] = []
    named: list[tuple[str, str, int]] = []  # on this machine: the service, its URL, its port
    for variable, service, port, example in SERVICES:
        try:
            url = from_file(variable) or os.environ.get(variable, "")
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or port
        except ValueError:
            host = None
        if host not in LOOPBACK:
            continue  # another machine's, or no URL at all: the settings say so
        if answers(host, port):
            named.append((service, url, port))
            continue
        if not startable and not engine_answers():
            say(
                f"nothing listens on {host}:{port}, and no engine ({ENGINE}) answers to start"
                f" Compose's {service!r}: set {variable}={example} in .env"
            )
            if service == "db":
                sys.exit(1)
            continue
        startable.append(service)
        named.append((service, url, port))
    if startable:
        # Not those of another checkout that has this one's name.
        check = [sys.executable, "-m", "serving_tools.deploy.checkout", "services"]
        if status := subprocess.run(check, check=False).returncode:  # noqa: S603
            sys.exit(status)
        if "db" in startable:
            try:
                write(Path(".secrets"), ["POSTGRES_PASSWORD"])
            except (OSError, ValueError) as error:
                sys.exit(f"services: {error}")
        command = [ENGINE, "compose", "up", "--detach", "--wait", *startable]
        if status := subprocess.run(command, check=False).returncode:  # noqa: S603
            sys.exit(status)
    refused = [service for service, url, port in named if not usable(service, url, port)]
    sys.exit(1 if "db" in refused else 0)


def usable(service: str, url: str, port: int) -> bool:
    """Whether what answers is what the URL asks for; if not, prints what to do.

    The project itself knows that, in its folder `data`: the one place where a tool imports code of a project
    by its name, since which drivers it has, and which servers it takes, is the project's to decide.
    """
    try:
        module = {"db": "data.postgres", "cache": "data.valkey_address"}[service]
        greet = import_module(module).greet
    except ModuleNotFoundError:  # a variable that this project does not read
        return True
    found: str | None = greet(url)
    if found and service == "cache" and publishes(service, port):
        return True  # it is this project's own, whatever keys are in it
    if found:
        say(f"port {port} is answered by {found}: {way_out(service, port, found)}")
    return not found


def way_out(service: str, port: int, found: str) -> str:
    """What to do about a server that is not what this project needs."""
    if not publishes(service, port):
        mine, url = {"db": ("POSTGRES", "DATABASE_URL"), "cache": ("VALKEY", "CACHE_URL")}[service]
        return (
            "this project's Compose publishes nothing there, so it is another's server; set"
            f" {mine}_PORT={free_port(port)} in .env for one of this project's own, or correct {url}"
        )
    if service == "db" and "password" in found:
        return (
            "it is Compose's own, whose volume was made with another password; put that one back into"
            f" .env, or drop the volume, which DELETES ITS DATA: {ENGINE} compose rm --stop --force db"
            f" && {ENGINE} volume rm {volume()}"
        )
    return f"it is Compose's own; see `{ENGINE} compose logs {service}`"


def publishes(service: str, port: int) -> bool:
    """Whether this Compose project publishes a service's port there."""
    inside = {"db": "5432", "cache": "6379"}[service]
    said = compose("port", service, inside)
    return said.strip().rpartition(":")[2] == str(port)


def volume() -> str:
    """The name of the volume that has the database."""
    try:
        name: str = json.loads(compose("config", "--format", "json"))["volumes"]["db"]["name"]
    except (ValueError, KeyError):
        return "<project>_db"
    return name


def compose(*arguments: str) -> str:
    """What Compose prints; nothing if it fails."""
    command = [ENGINE, "compose", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)  # noqa: S603
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def free_port(taken: int) -> int:
    """The next port that nobody listens on."""
    return next(port for port in range(taken + 1, 65536) if not answers("127.0.0.1", port))


def answers(host: str, port: int) -> bool:
    """Whether a server listens there."""
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError:
        return False
    return True


def engine_answers() -> bool:
    """Whether Compose is installed, can read compose.yaml and reaches an engine."""
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
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    main()
