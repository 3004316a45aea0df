"""Secrets that lie in files: `NAME_FILE` holds the path of a file with NAME's value.

This is how engines and orchestrators mount secrets. Their values are in no environment then: `docker
inspect`, /proc/1/environ and child processes show only the path.

    python -m serving_tools.secret_files FOLDER NAME... [--optional NAME...]

writes such files from the environment's own variables, for Compose to mount; the Makefile calls it. Of an
optional one that is not set the file is empty, since Compose mounts no file that is missing.
Runs by itself on Python 3.9 and newer, as serving_tools.env_file does.

https://docs.docker.com/compose/how-tos/use-secrets/
https://kubernetes.io/docs/concepts/configuration/secret/#using-secrets-as-files-from-a-pod
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path


def from_file(name: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """The content of the file that NAME_FILE names, without the line break at its end.

    None if NAME_FILE is not set, or empty. Raises ValueError, whose text shows nothing of the value, for a
    file that can't be read or is empty, and if NAME is set as well.
    """
    variable = f"{name}_FILE"
    path = environ.get(variable)
    if not path:
        return None
    if environ.get(name):
        raise ValueError(f"{variable}={path} is set as well; keep one of the two.")
    try:
        value = Path(path).read_bytes().decode()
    except OSError as error:
        raise ValueError(f"{variable}={path} can't be read: {error.strerror}.") from None
    except ValueError:
        raise ValueError(f"{variable}={path} does not hold text in UTF-8.") from None
    value = value.rstrip("\r\n")
    if not value.strip():
        raise ValueError(f"{variable}={path} is empty.")
    if "\0" in value:
        raise ValueError(f"{variable}={path} does not hold text.")
    return value


def write(
    folder: Path,
    names: list[str],
    environ: Mapping[str, str] = os.environ,
    *,
    optional: Sequence[str] = (),
) -> None:
    """Writes each variable's value to a file with its name in lower case, unless NAME_FILE is set.

    Everyone may read the files, as the container's user must, but only the owner may enter the folder; the
    engine mounts the files by themselves. `changed.env` holds the time when a value last changed: it becomes
    a variable of the containers, so that Compose replaces those with an older value. Of a file that lies
    elsewhere `changed.digest` tells, and not its time: `mv` and `cp -p` put an older one in its place.

    Raises ValueError, OSError.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    changed = folder / "changed.env"
    missing = [name for name in names if not (environ.get(name) or environ.get(f"{name}_FILE"))]
    if missing:
        raise ValueError(
            f"{', '.join(missing)}: not set; set it in .env (`make secret` prints one)"
        )
    renewed = not changed.exists()
    known = folder / "changed.digest"
    lines = known.read_text().splitlines() if known.exists() else []
    last = {line.partition(" ")[0]: line.partition(" ")[2] for line in lines}
    digests = dict(last)
    for name in (*names, *optional):
        if environ.get(f"{name}_FILE"):
            # Raises if the file is missing: the engine would make a folder in its place.
            outside = from_file(name, environ) or ""
            if digest(outside, last.get(name, "").partition(" ")[0]) != last.get(name):
                digests[name] = digest(outside, os.urandom(16).hex())
            continue
        digests.pop(name, None)
        file = folder / name.lower()
        value = environ.get(name, "").encode()
        if file.is_dir():  # an engine has made it, for a mount whose source was missing
            file.rmdir()
        if not file.exists() or file.read_bytes() != value:
            replace(file, value, 0o444)
            renewed = True
    if renewed or digests != last:
        now = datetime.now(timezone.utc)  # noqa: UP017, for Python 3.9
        changed.write_text(f"SECRETS_CHANGED={now:%Y-%m-%dT%H:%M:%S.%fZ}\n")
    if digests != last:
        text = "".join(f"{name} {each}\n" for name, each in digests.items())
        replace(known, text.encode(), 0o600)


def replace(file: Path, content: bytes, mode: int) -> None:
    """Puts a whole file in the place of another, which no one else can read meanwhile."""
    part = file.with_suffix(".part")
    part.unlink(missing_ok=True)
    part.touch(mode=0o600)
    part.write_bytes(content)
    part.chmod(mode)
    part.replace(file)


def digest(value: str, salt: str) -> str:
    """What changes with a value and does not tell it: salted, and slow to make."""
    return f"{salt} {hashlib.pbkdf2_hmac('sha256', value.encode(), salt.encode(), 100_000).hex()}"


if __name__ == "__main__":
    try:
        folder, *given = sys.argv[1:]
        needed = given.index("--optional") if "--optional" in given else len(given)
        write(Path(folder), given[:needed], optional=given[needed + 1 :])
    except (OSError, ValueError) as error:
        sys.exit(f"secrets: {error}")
