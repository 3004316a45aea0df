"""Prints one digest of all files below a folder: the same answers give the same bytes on every system.

python -m maintenance.digest build/generated
"""

import hashlib
import sys
from pathlib import Path


def digest(folder: Path) -> str:
    """The digest of the files' paths and contents."""
    state = hashlib.sha256()
    for name in sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*")):
        path = folder / name
        if path.is_file():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            state.update(f"{content} {name}\n".encode())
    return state.hexdigest()


if __name__ == "__main__":
    print(digest(Path(sys.argv[1])))
