"""Raises the versions of packages inside the template to the newest ones: `python -m maintenance.bump`.

It asks uv, which asks the package index, and rewrites versions.json and the pyproject.toml of the template's project
and its packages. Django and its types are left: a new one means more than a number. Prints what it has changed.
"""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROJECT = ROOT / "{{cookiecutter.project_slug}}"
FILES = [
    ROOT / "versions.json",
    PROJECT / "pyproject.toml",
    *sorted(PROJECT.glob("packages/*/pyproject.toml")),
]

BY_HAND = {"django", "django-stubs", "django-serving", "serving-tools"}

# "sentry-sdk>=2.75,<3", or "granian": ">=2.8.7,<3": the name, what is between ("[hiredis]", or a tag of the template),
# both versions.
BOUND = re.compile(
    r'"([a-z][a-z0-9_-]*)((?:\[[^"]*\]|\{\{.*?\}\}|": ")?)>=([0-9][\w.]*),<([0-9.]+)"'
)


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


def newest_of(names: set[str]) -> dict[str, str]:
    """The newest version of each package that is there for all of the template's Pythons."""
    found = {}
    for name in sorted(names):
        done = subprocess.run(
            ["uv", "pip", "compile", "--quiet", "--no-deps", "--no-header", "--no-annotate",
             "--python-version", "3.12", "--prerelease", "if-necessary", "-"],
            input=name, capture_output=True, text=True, check=True,
        )  # fmt: skip
        found[name] = done.stdout.strip().partition("==")[2]
    return found


def main() -> None:
    """Rewrites the files."""
    texts = {file: file.read_text(encoding="utf-8") for file in FILES}
    names = {found[0] for text in texts.values() for found in BOUND.findall(text)} - BY_HAND
    newest = newest_of(names)
    for file, text in texts.items():
        new = raised(text, newest)
        for old_line, new_line in zip(text.splitlines(), new.splitlines(), strict=True):
            if old_line != new_line:
                print(f"{file.relative_to(ROOT)}: {old_line.strip()} -> {new_line.strip()}")
        file.write_text(new, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
