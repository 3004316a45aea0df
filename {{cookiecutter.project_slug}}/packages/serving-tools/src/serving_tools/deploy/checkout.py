"""Whether the containers that a Make target is about to touch are this checkout's own.

    python3 -m serving_tools.deploy.checkout up         # or any other target; exit status 1 where they are not
    python3 -m serving_tools.deploy.checkout --name shop    # prints a name that a new .env may give this checkout

A Compose project's name (COMPOSE_PROJECT_NAME in .env) names its containers, volumes, networks and its
image: two folders with one name would replace and stop each other's containers.
"""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

from serving_tools.deploy import lock
from serving_tools.deploy.engine import (
    FOLDER,
    PROJECT,
    EngineError,
    configuration,
    inspect,
    is_local,
    labelled,
)
from serving_tools.ports import why_not_bound

# Targets that publish ports, and those that must not meet a deployment: a build takes the name of its image.
PUBLISH = {"up", "watch"}
ALONE = {"build", "up", "down", "restart", "watch"}

# Which variable moves a port, by service and port inside it.
VARIABLES = {
    ("web", 8000): "PORT",
    ("db", 5432): "POSTGRES_PORT",
    ("cache", 6379): "VALKEY_PORT",
    ("proxy", 80): "HTTP_PORT",
    ("proxy", 443): "HTTPS_PORT",
}


def problems(target: str) -> list[str]:
    """The reasons not to run a Make target here, a line each. This folder must be the project's.

    Raises EngineError if the engine or its Compose can't be asked; the target's own commands report that.
    """
    found = [f"a deployment runs ({who}); wait for it" for who in [lock.holder()] if who]
    if target not in ALONE:
        found = []
    configured = configuration()
    containers = all_containers()
    found += other_folders(configured["name"], containers)
    if target in PUBLISH:
        found += taken_ports(configured, containers)
        found += taken_networks(configured)
    return found


def all_containers() -> list[dict[str, Any]]:
    """What the engine knows of every container, running or not."""
    return inspect("container", *labelled("container"))


def other_folders(project: str, containers: list[dict[str, Any]]) -> list[str]:
    """A line if containers of this name were started from another folder that is still there."""
    here = Path.cwd().resolve()
    started = {
        Path(container["Config"]["Labels"].get(FOLDER) or here)
        for container in containers
        if is_of(container, project)
    }
    others = sorted(
        folder for folder in started if folder.resolve() != here and holds_a_project(folder)
    )
    if not others or os.environ.get("TAKE_OVER") == "true":
        return []
    return [
        f"the containers named {project} are those of {others[0]}, and this is {here}: give this folder"
        f" another name in .env, COMPOSE_PROJECT_NAME={free_name(project)}, or, if it takes that one's"
        " place, say TAKE_OVER=true"
    ]


def holds_a_project(folder: Path) -> bool:
    """False for one that was moved or deleted; true for one that this user may not look into."""
    try:
        return any(
            entry.name.startswith(("compose", "docker-compose")) for entry in folder.iterdir()
        )
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True


def taken_ports(configured: dict[str, Any], containers: list[dict[str, Any]]) -> list[str]:
    """A line for each port of this machine that another container or program has."""
    found = []
    local = is_local()
    for service, port, host in published(configured):
        number = int(port["published"])
        having = with_port(containers, number, host)
        if any(is_of(container, configured["name"]) for container in having):
            continue
        # Ports below 1024 can't be tried by everyone.
        if having or (local and why_not_bound(host, number) not in {0, errno.EACCES}):
            variable = VARIABLES.get((service, port["target"]), "its port")
            found.append(
                f"port {number} of {service} is taken by {holder(containers, number, host)}: set"
                f" {variable} in .env to another, or stop that one"
            )
    return found


def holder(containers: list[dict[str, Any]], number: int, host: str) -> str:
    """Who has a port of this machine, as far as this user may know."""
    having = with_port(containers, number, host)
    return described(having[0]) if having else process_on(number) or "another program"


def with_port(containers: list[dict[str, Any]], number: int, host: str) -> list[dict[str, Any]]:
    """The running containers that have this port of this machine, at this address or all."""
    return [
        container
        for container in containers
        if container["State"]["Running"] and publishes(container, str(number), host)
    ]


def published(configured: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Each TCP port that is fixed: service, port, and the address it is published on."""
    for name, service in configured["services"].items():
        for port in service.get("ports") or []:
            number = str(port.get("published", ""))
            if port.get("protocol") == "tcp" and number.isdigit() and number != "0":
                yield name, port, port.get("host_ip") or "0.0.0.0"  # noqa: S104


def publishes(container: dict[str, Any], number: str, host: str) -> bool:
    """Whether a running container has this port of this machine, at this address or all."""
    every = {"", "0.0.0.0", "::"}  # noqa: S104
    for bindings in (container["NetworkSettings"].get("Ports") or {}).values():
        for binding in bindings or []:
            address = binding.get("HostIp") or ""
            if str(binding.get("HostPort")) == number and (
                address in every or host in every or address == host
            ):
                return True
    return False


def is_of(container: dict[str, Any], project: str) -> bool:
    return bool((container["Config"].get("Labels") or {}).get(PROJECT) == project)


def described(container: dict[str, Any]) -> str:
    labels = container["Config"].get("Labels") or {}
    named = f"container {container['Name'].lstrip('/')}"
    return f"{named} of {labels[FOLDER]}" if labels.get(FOLDER) else named


def process_on(port: int) -> str | None:
    """Name and id of the process that listens on a port, where this user may know."""
    inodes = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        if not table.exists():
            continue
        for row in [line.split() for line in table.read_text().splitlines()[1:]]:
            if row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port:  # listens
                inodes.add(f"socket:[{row[9]}]")
    listeners = [each for each in Path("/proc").glob("[0-9]*") if inodes and holds(each, inodes)]
    for process in listeners:
        with suppress(OSError):  # it has just gone
            while is_worker(process, listeners):
                process = parent_of(process)
            return f"{name_of(process)} (process {process.name})"
    try:  # where there is no /proc
        listing = ["lsof", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fpc"]
        said = subprocess.run(listing, capture_output=True, text=True, check=False).stdout
    except OSError:
        return None
    found = re.search(r"^p(\d+)\nc(.+)$", said, re.MULTILINE)
    return f"{found[2]} (process {found[1]})" if found else None


def holds(process: Path, files: set[str]) -> bool:
    """Whether a process of /proc has one of these files open, where this user may know."""
    try:
        return any(os.readlink(each) in files for each in (process / "fd").iterdir())
    except OSError:
        return False  # another user's, or just gone


def is_worker(process: Path, listeners: list[Path]) -> bool:
    """Whether another process has started this one to serve: by a fork, or as multiprocessing spawns.

    Granian's main process forks workers, and does not listen itself.
    """
    command, parent = (process / "cmdline").read_text(), parent_of(process)
    if "--multiprocessing-fork" in command or parent in listeners:
        return True
    return parent.exists() and (parent / "cmdline").read_text() == command


def parent_of(process: Path) -> Path:
    return process.parent / (process / "stat").read_text().rpartition(")")[2].split()[1]


def name_of(process: Path) -> str:
    """The name of a process of /proc: its program's, or that of the module that Python was told to run."""
    name = (process / "comm").read_text().strip()
    found = re.match(
        r"[^\0]*python[^\0]*(?:\0-[^\0m]+)*\0-m\0([\w.]+)", (process / "cmdline").read_text()
    )
    return found[1] if found else name


def taken_networks(configured: dict[str, Any]) -> list[str]:
    """A line for each range of addresses that another network of the engine has."""
    wanted = [
        (network["name"], ip_network(config["subnet"]))
        for network in configured.get("networks", {}).values()
        for config in (network.get("ipam") or {}).get("config") or []
        if config.get("subnet")
    ]
    if not wanted:
        return []
    found = []
    for network in inspect("network", *labelled("network")):
        for config in (network.get("IPAM") or {}).get("Config") or []:
            for name, subnet in wanted:
                if network["Name"] == name or not config.get("Subnet"):
                    continue
                other = ip_network(config["Subnet"])
                if subnet.version == other.version and subnet.overlaps(other):
                    example = ".".join(str(ip_address(int(subnet[0]) + 256)).split(".")[:3])
                    found.append(
                        f"the addresses {subnet} are those of the network {network['Name']}: set"
                        f" PROXY_NETWORK in .env to others, as {example}"
                    )
    return found


def name_for(slug: str, folder: Path) -> str:
    """A name for the Compose project of a folder whose .env is being made.

    It is the slug, with the folder's name where that is another, and a number where containers or
    volumes of another checkout have it: none can be this one's, since without .env nothing starts.
    """
    own = re.sub(r"[^a-z0-9_-]+", "-", folder.name.lower()).strip("-_")
    name = slug if own in {slug, ""} else own if own.startswith(f"{slug}-") else f"{slug}-{own}"
    free = free_name(name)
    if free != name:
        print(
            f"the name {name} has containers or volumes on this machine already, so this checkout is"
            f" {free}: COMPOSE_PROJECT_NAME in .env, to be set to {name} if it takes over what is there",
            file=sys.stderr,
        )
    return free


def free_name(name: str) -> str:
    """This name, or the first of name-2, name-3 ... that nothing of the engine has."""
    number, tried = 2, name
    while is_taken(tried):
        tried, number = f"{name}-{number}", number + 1
    return tried


def is_taken(project: str) -> bool:
    """Whether another folder has containers, or anybody volumes, of this name."""
    here = Path.cwd().resolve()
    try:
        folders = {
            Path(container["Config"]["Labels"].get(FOLDER, ""))
            for container in all_containers()
            if is_of(container, project)
        }
        if folders:
            return folders != {here}
        return bool(labelled("volume", **{PROJECT: project}))
    except EngineError:
        return False


def main() -> int:
    if sys.argv[1] == "--name":
        print(name_for(sys.argv[2], Path.cwd()))
        return 0
    try:
        found = problems(sys.argv[1])
    except EngineError:
        return 0
    for line in found:
        print(f"{sys.argv[1]}: {line}", file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
