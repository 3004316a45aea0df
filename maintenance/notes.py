"""Prints what CHANGELOG.md says of a release: `python -m maintenance.notes v1.2.0`."""

import re
import sys
from pathlib import Path

CHANGELOG = Path(__file__).parent.parent / "CHANGELOG.md"


def notes(changelog: str, tag: str) -> str:
    """The text below the heading of a tag's version. Raises ValueError where there is none."""
    version = tag.removeprefix("v")
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise ValueError(f"{tag!r} is no tag of a release; tag one like v1.2.0")
    for release in re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]:
        heading, _, text = release.partition("\n")
        if heading.split()[:1] != [version]:
            continue
        if not text.strip():
            raise ValueError(f"CHANGELOG.md says nothing of {version}; write what it means")
        return text.strip()
    raise ValueError(f"CHANGELOG.md has no '## {version}'; rename '## Unreleased' before you tag")


if __name__ == "__main__":
    try:
        print(notes(CHANGELOG.read_text(encoding="utf-8"), sys.argv[1]))
    except ValueError as error:
        sys.exit(f"maintenance.notes: {error}")
