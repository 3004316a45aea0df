"""The images that a project was built to: named by commit, and the older ones removed.

    python3 -m serving_tools.deploy.images revision     # prints the commit of this folder, for the image's label
    python3 -m serving_tools.deploy.images built        # names the image that was just built; `make build`

Beside `latest`, which the next build takes over, an image is `shop:1a2b3c4d5e6f` by its commit. One of a
folder with changes that are in no commit is `shop:1a2b3c4d5e6f-dirty-5f6e7d8c`, by its own id as well. `previous` is
what ran before the last `make up`, `make deploy` or `make rollback`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any

from serving_tools.deploy.engine import (
    ONEOFF,
    PROJECT,
    SERVICE,
    EngineError,
    ask,
    configuration,
    inspect,
    labelled,
)

REVISION = "org.opencontainers.image.revision"
LATEST, PREVIOUS = "latest", "previous"
ASKED = "asked"  # while a rollback asks an image for its migrations
KEEP = 5  # images named by commit, beside those that a container or another name needs


class Images:
    """What the engine has of the image that Compose's `web` is made of."""

    def __init__(self, configured: dict[str, Any]) -> None:
        self.project: str = configured["name"]
        self.name: str = configured["services"]["web"]["image"]
        self.repository, _, self.tag = self.name.rpartition(":")

    def id_of(self, tag: str) -> str | None:
        """The id of the image with this tag, if there is one."""
        found = inspect("image", f"{self.repository}:{tag}")
        return str(found[0]["Id"]) if found else None

    def give(self, image: str, tag: str) -> None:
        """Gives an image a tag, which another may lose."""
        ask("tag", image, f"{self.repository}:{tag}")

    def tags(self) -> dict[str, str]:
        """Each tag by commit, with its image's id; the newest image comes first."""
        ids = set(ask("image", "ls", "--quiet", "--no-trunc", self.repository).splitlines())
        found: dict[str, str] = {}
        for image in sorted(inspect("image", *ids), key=lambda i: str(i["Created"]), reverse=True):
            for name in sorted(image["RepoTags"] or []):
                repository, _, tag = name.rpartition(":")
                # Podman calls an image without a registry localhost/...
                if repository in {self.repository, f"localhost/{self.repository}"}:
                    found[tag] = image["Id"]
        others = {LATEST, PREVIOUS, ASKED}
        return {tag: image for tag, image in found.items() if tag not in others}

    def running(self, service: str = "web") -> list[str]:
        """The ids of the images that the containers of a service run, the oldest one's first."""
        labels = {PROJECT: self.project, SERVICE: service, ONEOFF: "False"}
        containers = inspect("container", *labelled("container", **labels))
        return [each["Image"] for each in sorted(containers, key=lambda each: each["Created"])]

    def called(self, image: str) -> str:
        """What a message calls an image: its tag by commit, or the beginning of its id."""
        named = [tag for tag, each in self.tags().items() if each == image]
        return named[0] if named else image.removeprefix("sha256:")[:12]

    def note_replaced(self, image: str | None) -> None:
        """Keeps an image that something else has taken the place of, or is about to, as `previous`."""
        if image and image != self.id_of(self.tag) and inspect("image", image):
            self.give(image, PREVIOUS)

    def name_by_commit(self) -> str:
        """Gives the image that was built last its tag; returns it. Raises EngineError if there is none."""
        found = inspect("image", self.name)
        if not found:
            raise EngineError(f"there is no image {self.name}")
        image: str = found[0]["Id"]
        tag = tag_of((found[0]["Config"].get("Labels") or {}).get(REVISION) or "unknown", image)
        self.give(image, tag)
        return tag

    def remove_older(self, keep: int) -> list[str]:
        """Removes all but the newest images, those in use, and those that have lost each tag; returns their tags."""
        # Another project may run the same image, by its IMAGE.
        used = {each["Image"] for each in inspect("container", *labelled("container"))}
        used |= {self.id_of(tag) for tag in (LATEST, PREVIOUS, self.tag)}
        removed = []
        for tag, image in list(self.tags().items())[keep:]:
            if image not in used:
                ask("image", "rm", f"{self.repository}:{tag}")
                removed.append(tag)
        # Compose gives its label to what it builds. Where another checkout's build removes its own at this moment,
        # the next one removes these as well.
        try:
            ask("image", "prune", "--force", f"--filter=label={PROJECT}={self.project}")
        except EngineError as error:
            if "already running" not in str(error):
                raise
        return removed


def tag_of(revision: str, image: str) -> str:
    """The tag of an image: of a whole commit its name, of anything else a word on it and the image's own id.

    "1a2b3c4d5e6f...", of 40 letters, gives "1a2b3c4d5e6f"; with "-dirty", "1a2b3c4d5e6f-dirty-5f6e7d8c".
    """
    commit = re.fullmatch(r"([0-9a-f]{12})[0-9a-f]{28,52}(-dirty)?", revision)
    if commit and not commit[2]:
        return commit[1]
    word = f"{commit[1]}-dirty" if commit else re.sub(r"[^\w.-]+", "-", revision).strip(".-")[:40]
    return f"{word or 'unknown'}-{image.removeprefix('sha256:')[:8]}"


def revision() -> str:
    """The commit of this folder, with "-dirty" where something in it is in no commit; else "unknown"."""
    commit = git("rev-parse", "--verify", "HEAD")
    if not commit:
        return "unknown"
    return f"{commit}-dirty" if git("status", "--porcelain", "--", ".") != "" else commit


def git(*arguments: str) -> str | None:
    """What git prints; None where it fails or is not installed."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def to_keep() -> int:
    """KEEP_IMAGES. Raises EngineError if it is no number."""
    value = os.environ.get("KEEP_IMAGES") or str(KEEP)
    if not re.fullmatch(r"[0-9]{1,4}", value):
        raise EngineError(f"KEEP_IMAGES={value!r} is no number of images; try {KEEP}")
    return int(value)


def built() -> None:
    """Names the image that was built, removes older ones, and says both."""
    keep = to_keep()
    images = Images(configuration())
    tag = images.name_by_commit()
    print(f"build: {images.name} is {images.repository}:{tag}", file=sys.stderr)
    if removed := images.remove_older(keep):
        text = f"removed {', '.join(removed)}: KEEP_IMAGES={keep} are kept"
        print(f"build: {text}", file=sys.stderr)


def main() -> int:
    try:
        if sys.argv[1] == "revision":
            print(revision())
        else:
            built()
    except EngineError as error:
        print(f"images: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
