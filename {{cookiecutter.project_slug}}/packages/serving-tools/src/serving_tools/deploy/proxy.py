"""Whether the proxy that runs has the configuration of now: a deployment replaces the servers behind it alone.

Compose compares what its files and variables say of a container, and not what is in a file that one mounts.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from serving_tools.deploy.engine import EngineError, ask, inspect

# Where compose.proxy.yaml mounts deploy/Caddyfile.
CADDYFILE = "/etc/caddy/Caddyfile"

MAKE_ANEW = ("compose", "up", "--detach", "--no-deps", "--force-recreate")


def what_is_newer(container: str, configured: dict[str, Any]) -> str:
    """What the proxy is older than, or "". `configured`: the Compose project as it is now.

    Compose's own judgement is of no use: one that was started together with the servers it would make anew alone.
    """
    found = inspect("container", container)
    service = configured["services"].get("proxy", {})
    if not found or differs(found[0], service):
        return "what Compose's files and .env say of it" if found else ""
    mounted = [each for each in service.get("volumes", []) if each.get("target") == CADDYFILE]
    if mounted and has_changed(container, Path(mounted[0]["source"])):
        return "deploy/Caddyfile"
    return ""


def differs(container: dict[str, Any], service: dict[str, Any]) -> bool:
    """Whether a container lacks a variable, or its value, or a volume of its service, or has another command."""
    has = set(container["Config"]["Env"] or ())
    variables = service.get("environment", {}).items()
    wanted = {f"{name}={value}" for name, value in variables if value is not None}
    places = {each["Destination"] for each in container["Mounts"]}
    command = service.get("command")
    return bool(
        not wanted <= has
        or not {each["target"] for each in service.get("volumes", [])} <= places
        or (command and command != container["Config"]["Cmd"])
    )


def has_changed(container: str, file: Path) -> bool:
    """Whether the proxy, which reads this file when it starts, has read another.

    An editor writes the file that is mounted, git puts another in its place, which the container does not see.
    """
    try:
        now = file.read_text(encoding="utf-8").strip()
        if ask("exec", container, "cat", CADDYFILE) != now:
            return True
        written = int(ask("exec", container, "stat", "-c", "%Y", CADDYFILE))
    except (EngineError, OSError, ValueError):
        return False  # nobody can tell: an image without these programs
    found = inspect("container", container)
    if not found:
        return False
    started = found[0]["State"]["StartedAt"][:19]  # in UTC, and behind it parts of a second
    return written > datetime.fromisoformat(f"{started}+00:00").timestamp()
