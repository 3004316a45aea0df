"""Compares what .dockerignore lets into the image with what git has, before `make build` builds it.

    python3 -m serving_tools.deploy.image_files     # exit status 1 where a line is missing, which it says

Two kinds of files stop the build, unless a line of .dockerignore names them: one in git that a general rule
would leave out, and one that git ignores (a secret, perhaps) and that would go in. Without git, it only
lists what is left out.

The rules: https://docs.docker.com/build/concepts/context/#dockerignore-files
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

# Git may ignore these, and the image still has them: an earlier build step made them.
MADE = re.compile(r"\.mo$|(^|/)(static|dist)/")

MANY = 10  # lines of one kind


class Ignored:
    """The patterns of a .dockerignore, read as the engine reads them.

    https://github.com/moby/patternmatcher: what a pattern says of a folder holds for all that is in it,
    but a pattern that changes nothing for a folder (a second one that leaves it out) says nothing.
    """

    def __init__(self, text: str) -> None:
        lines = [line.strip() for line in text.splitlines()]
        self.lines = [line for line in lines if line and not line.startswith("#")]
        self.patterns = [re.compile(expression(line.lstrip("!").strip())) for line in self.lines]

    def line(self, path: str) -> str | None:
        """The line that leaves a path out; none where it goes in."""
        inherited = [False] * len(self.lines)
        decides = None
        parts = path.split("/")
        for depth in range(1, len(parts) + 1):
            path = "/".join(parts[:depth])
            decides = None
            for number, line in enumerate(self.lines):
                includes = line.startswith("!")
                if not inherited[number]:
                    if includes != bool(decides):
                        continue
                    inherited[number] = bool(self.patterns[number].fullmatch(path))
                if inherited[number]:
                    decides = None if includes else line
        return decides

    def leaves_out(self, path: str) -> bool:
        return self.line(path) is not None


def expression(pattern: str) -> str:
    """A pattern as a regular expression: * and ? within a name, ** across folders, [...] as it is."""
    made = ""
    for part in re.findall(r"\*\*/?|\*|\?|\[[^]]*\]|\\.|.", pattern.strip("/")):
        if part == "**/":
            made += "(?:.*/)?"
        elif part == "**":
            made += ".*"
        elif part == "*":
            made += "[^/]*"
        elif part == "?":
            made += "[^/]"
        elif part.startswith("["):
            made += part.replace("[!", "[^", 1)
        else:
            made += re.escape(part[-1])
    return made


def problems(folder: Path) -> tuple[list[str], list[str]]:
    """What stops the build, and what is only said, a line each."""
    ignored = Ignored((folder / ".dockerignore").read_text())
    tracked = git(folder, "ls-files", "--cached")
    if tracked is None:
        return [], [
            f"{path} is left out of the image, by {ignored.line(path)} in .dockerignore; `!{path}` at its"
            " end puts it in"
            for path in walk(folder, ignored)
            if is_left_out_in_silence(path, ignored)
        ]
    stops = [
        f"{path} is in git and would be left out of the image, by {ignored.line(path)}: write into"
        f" .dockerignore, at its end, `!{path}` to have it there, or `{path}` to leave it out"
        for path in tracked
        if is_left_out_in_silence(path, ignored) and (folder / path).exists()
    ]
    hidden = git(folder, "ls-files", "--others", "--ignored", "--exclude-standard", "--directory")
    stops += [
        f"{path} would go into the image, though git ignores it: write into .dockerignore, at its end,"
        f" `{path}` to keep it out, or `!{path}` to have it there"
        for path in below(folder, hidden or [], ignored)
        if not MADE.search(path) and f"!{path}" not in ignored.lines
    ]
    new = git(folder, "ls-files", "--others", "--exclude-standard") or []
    return stops, [
        f"{path} goes into the image, and is not in git yet"
        for path in new
        if not ignored.leaves_out(path)
    ]


def is_left_out_in_silence(path: str, ignored: Ignored) -> bool:
    """Whether a line that speaks of many does, and none was meant for it or for its folder."""
    line = ignored.line(path) or ""
    parts = path.split("/")
    named = {"/".join(parts[: depth + 1]) for depth in range(len(parts))} & set(ignored.lines)
    return (line == "*.*" or line.startswith("**/")) and not named and not path.startswith(".")


def git(folder: Path, *arguments: str) -> list[str] | None:
    """Paths that git lists, of this folder and relative to it; None where it has no repository.

    Ends the process where there is one that git refuses to read, as of another user's.
    """
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments, "-z"],
            capture_output=True,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except FileNotFoundError:
        return None
    if b"not a git repository" in done.stderr:
        return None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip() or f"status {done.returncode}"
        sys.exit(f"image: git can't say what it ignores, so a secret may go in: {said}")
    return [os.fsdecode(path) for path in done.stdout.split(b"\0") if path]


def below(folder: Path, paths: list[str], ignored: Ignored) -> Iterator[str]:
    """Files that go into the image, of these files and folders ("name/")."""
    for path in paths:
        if not path.endswith("/"):
            if not ignored.leaves_out(path):
                yield path
        elif not ignored.leaves_out(path.rstrip("/")) or not ignored.leaves_out(f"{path}x"):
            for found in walk(folder, ignored, path.rstrip("/")):
                if not ignored.leaves_out(found):
                    yield found


def walk(folder: Path, ignored: Ignored, start: str = "") -> Iterator[str]:
    """Every file, except those in folders that are left out completely."""
    for where, folders, files in os.walk(folder / start):
        here = Path(where).relative_to(folder).as_posix()
        prefix = "" if here == "." else f"{here}/"
        folders[:] = sorted(name for name in folders if not ignored.leaves_out(f"{prefix}{name}/x"))
        yield from (f"{prefix}{name}" for name in sorted(files))


def main() -> int:
    stops, notes = problems(Path())
    for lines in (stops, notes):
        for line in lines[:MANY]:
            print(f"image: {line}", file=sys.stderr)
        if more := lines[MANY:]:
            print(f"image: and {len(more)} more such files", file=sys.stderr)
    return int(bool(stops))


if __name__ == "__main__":
    sys.exit(main())
