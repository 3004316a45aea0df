"""Whether the proxy that runs has the configuration of now: a deployment replaces the servers behind it alone.

Compose compares what its files and variables say of a container, and not what is in a file that one mounts.
"""

from __future__ import annotations

import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any

from serving_tools.deploy.engine import ENGINE, EngineError, ask, inspect

# Where compose.proxy.yaml mounts deploy/Caddyfile.
CADDYFILE = "/etc/caddy/Caddyfile"

MAKE_ANEW = ("compose", "up", "--detach", "--no-deps", "--force-recreate", "proxy")


def what_is_newer(container: str, configured: dict[str, Any]) -> str:
    """What the proxy is older than, or "". `configured`: the Compose project as it is now."""
    if would_be_made_anew():
        return "its image, or what Compose's files and .env say of it"
    service = configured["services"].get("proxy", {})
    mounted = [each for each in service.get("volumes", []) if each.get("target") == CADDYFILE]
    if mounted and has_changed(container, Path(mounted[0]["source"])):
        return "deploy/Caddyfile"
    return ""


def would_be_made_anew() -> bool:
    """Whether `compose up` would replace the proxy. False where the engine cannot tell, as podman's."""
    done = subprocess.run(
        [ENGINE, "compose", "--dry-run", "up", "--detach", "--no-deps", "--pull=never", "proxy"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
    )
    return done.returncode == 0 and " Recreate" in done.stdout + done.stderr


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
