"""Raises the versions inside the template, and the actions of this repository: `python -m maintenance.bump`.

| versions of | asked | written to |
|---|---|---|
| Python packages, uv | uv, which asks the package index | versions.json, pyproject.toml of the project and its packages |
| images | their registry, by docker, whether there is a tag of a later major version | versions.json |
| actions | their repositories, for tags and commits | versions.json, .github/workflows/ |

By hand: Django and its types, Debian and PostgreSQL, of which a new one means more than a number. A package's release is
taken a week after its upload, and an action's a week after its date, which its author has written. An image's tag moves
with each build, so that nobody says since when there is one.

Prints what it has changed. A source that does not answer is named, and the others go on; the status is 1 then.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROJECT = ROOT / "{{cookiecutter.project_slug}}"
VERSIONS = ROOT / "versions.json"
BOUNDED = [
    VERSIONS,
    PROJECT / "pyproject.toml",
    *sorted(PROJECT.glob("packages/*/pyproject.toml")),
]
FILES = [
    *BOUNDED,
    ROOT / "pyproject.toml",
    *sorted(ROOT.glob(".github/workflows/*.yml")),
]

BY_HAND = {"django", "django-stubs", "django-serving", "serving-tools"}
IMAGES = {"valkey": "valkey/valkey", "caddy": "caddy", "docker": "docker"}
GITHUB = "https://github.com"
COOLDOWN = 7 * 24 * 3600

# "sentry-sdk>=2.75,<3", or "granian": ">=2.8.7,<3": the name, what is between ("[hiredis]", or a tag of the template),
# both versions.
BOUND = re.compile(
    r'"([a-z][a-z0-9_-]*)((?:\[[^"]*\]|\{\{.*?\}\}|": ")?)>=([0-9][\w.]*),<([0-9.]+)"'
)
# A line of `git ls-remote --tags`: of an annotated tag, the one that ends in ^{} has the commit.
TAG = re.compile(r"^([0-9a-f]{40})\trefs/tags/(v\d+\.\d+\.\d+)(?:\^\{\})?$", re.MULTILINE)


def raised(text: str, newest: dict[str, str]) -> str:
    """The text of a file whose bounds take the newest versions in."""

    def raise_one(found: re.Match[str]) -> str:
        name, extra, lower, upper = found.groups()
        new = newest.get(name)
        if not new or numbers(new) <= numbers(lower):
            return found[0]
        parts = new.split(".")
        if numbers(new) >= numbers(upper):  # <3 of 2.75, <0.18 of 0.17.6
            kept = upper.count(".") + 1
            upper = ".".join([*parts[: kept - 1], str(numbers(new)[kept - 1] + 1)])
        lower = ".".join(parts[: lower.count(".") + 1])
        return f'"{name}{extra}>={lower},<{upper}"'

    return BOUND.sub(raise_one, text)


def numbers(version: str) -> tuple[int, ...]:
    """What versions are compared by: 0.66b1 is (0, 66, 1)."""
    return tuple(map(int, re.findall(r"\d+", version)))


def newest_package(name: str) -> str:
    """The newest version of a package for all of the template's Pythons that has been out for long enough."""
    said = run(
        "uv", "pip", "compile", "--quiet", "--no-deps", "--no-header", "--no-annotate",
        "--python-version", "3.12", "--prerelease", "if-necessary",
        "--exclude-newer", f"{COOLDOWN} seconds", "-", given=name,
    )  # fmt: skip
    return said.strip().partition("==")[2]


def newest_image(image: str, major: str) -> str:
    """The newest of the major versions from this one on that an image has a tag of; some skip a few."""
    there = [number for number in range(int(major), int(major) + 6) if has_tag(image, number)]
    if not there:
        raise ValueError(f"{image} has no tag {major} any more")
    return str(max(there))


def has_tag(image: str, tag: int) -> bool:
    """Whether the registry has it. Raises CalledProcessError where it does not say."""
    try:
        run("docker", "manifest", "inspect", f"{image}:{tag}")
    except subprocess.CalledProcessError as error:
        if "no such manifest" in error.stderr:
            return False
        raise
    return True


def newest_action(pin: str, now: float) -> str:
    """The newest release of an action that has been out for long enough, as `owner/name@commit # v1.2.3`."""
    action, _, version = re.split("@| # ", pin)
    url = f"{GITHUB}/{action}"
    commits = {tag: commit for commit, tag in TAG.findall(git("ls-remote", "--tags", url))}
    if version not in commits:
        raise ValueError(f"{action} has no release {version} any more")
    for tag in sorted(commits, key=numbers, reverse=True):
        if numbers(tag) <= numbers(version):
            break
        if now - date_of(url, tag) >= COOLDOWN:
            return f"{action}@{commits[tag]} # {tag}"
    return pin


def date_of(url: str, tag: str) -> int:
    """When an annotated tag was made, or the commit of another one."""
    with tempfile.TemporaryDirectory() as folder:
        git("init", "--quiet", "--bare", folder)
        ref = f"refs/tags/{tag}"
        git(
            "-C", folder, "fetch", "--quiet", "--depth", "1", "--filter=tree:0", url, f"{ref}:{ref}"
        )
        return int(git("-C", folder, "for-each-ref", "--format=%(creatordate:unix)", ref))


def git(*arguments: str) -> str:
    return run("git", *arguments)


def run(*command: str, given: str = "") -> str:
    """What a command prints. Of a repository that has gone, GitHub asks who wants to know."""
    done = subprocess.run(
        command, input=given, env=os.environ | {"GIT_TERMINAL_PROMPT": "0"},
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    return done.stdout


def answers(asked: dict[str, Callable[[], str]]) -> tuple[dict[str, str], list[str]]:
    """The newest version of each, and a line for each whose source gave none."""
    found, silent = {}, []
    for name, ask in asked.items():
        try:
            found[name] = ask()
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            said = (getattr(error, "stderr", "") or str(error)).strip().splitlines() or [""]
            silent.append(f"{name}: no answer, {said[-1]}; left as it is")
    return found, silent


def main() -> int:
    """Rewrites the files."""
    texts = {file: file.read_text(encoding="utf-8") for file in FILES}
    held = json.loads(texts[VERSIONS])
    versions, pins = held["versions"], held["actions"].values()

    names = {found[0] for file in BOUNDED for found in BOUND.findall(texts[file])} - BY_HAND
    packages, silent = answers(
        {name: partial(newest_package, name) for name in sorted({*names, "uv"})}
    )
    images, more = answers(
        {name: partial(newest_image, image, versions[name]) for name, image in IMAGES.items()}
    )
    silent += more
    now = time.time()
    actions, more = answers({pin: partial(newest_action, pin, now) for pin in pins})
    silent += more

    replaced = dict(actions)
    if uv := packages.get("uv"):
        minor = ".".join(uv.split(".")[:2])
        if numbers(minor) > numbers(versions["uv"]):
            replaced[f'"uv": "{versions["uv"]}"'] = f'"uv": "{minor}"'
            replaced[f'"uv>={versions["uv"]}"'] = f'"uv>={minor}"'
    for name, major in images.items():
        replaced[f'"{name}": "{versions[name]}"'] = f'"{name}": "{major}"'

    for file, text in texts.items():
        new = raised(text, packages) if file in BOUNDED else text
        for before, after in replaced.items():
            new = new.replace(before, after)
        for old_line, new_line in zip(text.splitlines(), new.splitlines(), strict=True):
            if old_line != new_line:
                print(f"{file.relative_to(ROOT)}: {old_line.strip()} -> {new_line.strip()}")
        file.write_text(new, encoding="utf-8", newline="\n")
    for line in silent:
        print(line, file=sys.stderr)
    return 1 if silent else 0


if __name__ == "__main__":
    sys.exit(main())
