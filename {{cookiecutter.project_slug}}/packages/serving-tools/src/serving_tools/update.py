"""Takes over what is new in the template that the project was made from: `make update`.

    python -I packages/serving-tools/src update    # in the project's folder; UV names uv

It needs git and cookiecutter, which uv fetches. The old version and the new one are rendered from the answers
in .cruft.json (the file is cruft's: either way goes on where the other ended) and committed to the project's
objects, on no branch. Their difference is then picked like any commit: git merges, and marks conflicts. What cannot be done is one
line, and leaves nothing behind.

The variables VERSION (a tag or a commit of the template) and ANSWERS ("event_loop=rloop workers=2") may ask for
another version than the newest, and for other answers. .cruft.json keeps the version that was asked for; HEAD asks
for the newest again. Files that `skip` names there, or in [tool.cruft] of pyproject.toml, are left alone.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

KEPT = Path(".cruft.json")
OWN = Path("pyproject.toml")
COOKIECUTTER = "cookiecutter>=2.7.1,<3"
LINK = "docs/updating.md of the template says how to link a project"

# Of a render's context: folders of this machine.
UNKEPT = ("_checkout", "_output_dir", "_repo_dir")


class UpdateError(Exception):
    """Why nothing is updated, and what to do, on one line."""


def git(*arguments: str, folder: str | Path = ".", **variables: str) -> str:
    """What git prints in a folder. Raises UpdateError with git's own last line."""
    done = run(["git", *arguments], folder, **variables)
    if done.returncode:
        raise UpdateError(f"git {arguments[0]}: {last_line(done)}")
    return done.stdout


def run(
    command: list[str], folder: str | Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    """A program's end, and what it printed."""
    try:
        return subprocess.run(  # noqa: S603 (git and uv, with what the project and its owner say)
            command,
            cwd=folder,
            env={**os.environ, "PYTHONUTF8": "1", **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except FileNotFoundError:
        raise UpdateError(f"{command[0]} is not installed; install it") from None


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    """The line in which a program says why it failed."""
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return lines[-1] if lines else f"it ended with status {done.returncode}"


def state() -> dict[str, Any]:
    """What .cruft.json says: "template", "commit" and the answers. Raises UpdateError."""
    if not KEPT.exists():
        raise UpdateError(f"{KEPT} is not here, which has the answers; {LINK}")
    if not git("ls-files", "--", str(KEPT)):
        raise UpdateError(
            f"{KEPT} is not in git, which could not take an update back; `git add --force {KEPT}` and commit it"
        )
    try:
        kept: dict[str, Any] = json.loads(KEPT.read_text(encoding="utf-8"))
        kept["template"], kept["commit"], kept["context"]["cookiecutter"].items()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        said = f"it has no {error}" if isinstance(error, KeyError) else error
        raise UpdateError(f"{KEPT}: {said}; take it from git, or {LINK}") from None
    return kept


def check_tree() -> None:
    """Raises UpdateError unless git has all that stands here: what an update spoils can be taken back."""
    if run(["git", "rev-parse", "--verify", "--quiet", "HEAD"], ".").returncode:
        raise UpdateError(
            "git has no commit of this folder; `git init`, and commit all of it first"
        )
    if changed := git("status", "--porcelain").splitlines():
        raise UpdateError(
            f"what is not committed could be lost, {changed[0][3:]} for one; commit it first"
        )


def clone(template: str, folder: Path) -> None:
    """The template's repository, without files. Raises UpdateError."""
    done = run(["git", "clone", "--quiet", "--no-checkout", template, str(folder)], ".")
    if done.returncode:
        raise UpdateError(
            f"{template}: {last_line(done)}; correct `template` in {KEPT}, or try again"
        )


def commit_of(version: str, template: Path, why: str) -> str:
    """The commit that a tag, a branch or a commit means. Raises UpdateError."""
    for name in (f"origin/{version}", version):
        name += "^{commit}"
        done = run(["git", "rev-parse", "--verify", "--quiet", "--end-of-options", name], template)
        if not done.returncode:
            return done.stdout.split()[-1]
    raise UpdateError(f"the template has no commit {version!r}, {why}")


def asked(template: Path, commit: str) -> dict[str, Any]:
    """The questions of a version, with their defaults."""
    shown = git("show", f"{commit}:cookiecutter.json", folder=template)
    return {key: value for key, value in json.loads(shown).items() if not key.startswith("_")}


def wished(text: str, questions: dict[str, Any]) -> dict[str, str]:
    """The answers that ANSWERS asks for. Raises UpdateError."""
    try:
        pairs = [word.partition("=") for word in shlex.split(text)]
    except ValueError as error:
        raise UpdateError(f"ANSWERS: {text!r}: {error}; close the quotes") from None
    for key, equals, _ in pairs:
        if not equals or key not in questions:
            raise UpdateError(f"ANSWERS: {key!r} is no question; {', '.join(questions)} are")
    return {key: value for key, _, value in pairs}


def render(template: Path, commit: str, answers: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Generates a version into a folder of its own; its context. Raises UpdateError."""
    git("checkout", "--quiet", "--detach", commit, folder=template)
    config, replays = folder / "config.json", folder / "replays"
    (folder / "out").mkdir(parents=True)
    config.write_text(json.dumps({"replay_dir": str(replays)}), encoding="utf-8")
    uv = os.environ.get("UV") or "uv"
    if os.sep in uv:  # as in the Makefile, from the project's folder
        uv = str(Path(uv).absolute())
    command = [uv, "tool", "run", "--quiet", "--from", COOKIECUTTER, "cookiecutter"]
    command += ["--no-input", "--config-file", str(config), "--output-dir", str(folder / "out")]
    command += [str(template), *(f"{key}={value}" for key, value in answers.items())]
    done = run(command, folder, TMPDIR=str(folder))
    if done.returncode:
        raise UpdateError(f"version {commit[:7]} of the template: {last_line(done)}")
    (replay,) = replays.iterdir()
    context: dict[str, Any] = json.loads(replay.read_text(encoding="utf-8"))["cookiecutter"]
    return context


def tree_of(folder: Path, leave_out: set[str], index: Path, prefix: str) -> str:
    """Writes the project in a folder to the objects of this repository; gives the tree's name."""
    (project,) = (folder / "out").iterdir()
    objects = {"GIT_DIR": git("rev-parse", "--absolute-git-dir").strip()}
    objects["GIT_INDEX_FILE"] = str(index)
    git("add", "--all", "--force", ".", folder=project, GIT_WORK_TREE=str(project), **objects)
    for name in leave_out:
        git("update-index", "--force-remove", "--", name, folder=project, **objects)
    tree = git("write-tree", folder=project, **objects).strip()
    if prefix:  # the project is a folder of the repository
        git("read-tree", "--empty", folder=project, **objects)
        git("read-tree", f"--prefix={prefix}", tree, folder=project, **objects)
        tree = git("write-tree", folder=project, **objects).strip()
    index.unlink()
    return tree


def commit_tree(tree: str, message: str, *parents: str) -> str:
    """A commit on no branch; gives its name."""
    who = {
        f"GIT_{role}_{what}": "template"
        for role in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    parent = [word for name in parents for word in ("-p", name)]
    return git("commit-tree", tree, *parent, "-m", message, **who).strip()


def unknown_to_git(folder: Path) -> set[str]:
    """The files of a render in whose place stands something that git does not have: it is the user's."""
    (project,) = (folder / "out").iterdir()
    tracked = set(git("ls-files", "-z").split("\0"))
    rendered = (path for path in project.rglob("*") if not path.is_dir())
    names = (path.relative_to(project).as_posix() for path in rendered)
    return {name for name in names if in_the_way(name, tracked)}


def in_the_way(name: str, tracked: set[str]) -> bool:
    """Whether git would write over something that it does not have: at a path, or where its folders would be."""
    if name in tracked:
        return False
    folders = [str(path) for path in Path(name).parents][:-1]
    others = [path for path in folders if os.path.islink(path) or not os.path.isdir(path)]
    return any(os.path.lexists(path) and path not in tracked for path in [name, *others])


def skip_of(kept: dict[str, Any]) -> list[str]:
    """What is to be left alone: `skip` of .cruft.json, and that of pyproject.toml. Raises UpdateError."""
    found = {str(KEPT): kept.get("skip") or []}
    text = OWN.read_text(encoding="utf-8", errors="replace") if OWN.exists() else ""
    if re.search(r"^\s*\[\s*tool\s*\.\s*cruft\s*\]", text, re.MULTILINE):
        try:
            import tomllib
        except ImportError:  # before Python 3.11
            raise UpdateError(
                f"{OWN}: this Python cannot read [tool.cruft]; move its `skip` to {KEPT}"
            ) from None
        try:
            found[str(OWN)] = tomllib.loads(text)["tool"]["cruft"].get("skip") or []
        except tomllib.TOMLDecodeError as error:
            raise UpdateError(f"{OWN}: {error}; correct it and commit it") from None
    for name, names in found.items():
        if not isinstance(names, list):
            raise UpdateError(f"{name}: skip: {names!r} is no list; name paths in the project")
        for path in names:
            if not isinstance(path, str) or not path or os.path.isabs(path):
                raise UpdateError(
                    f"skip: {names!r}: {path!r} of {name} is no relative path; name paths in the project"
                )
    return [path for names in found.values() for path in names]


def skipped(names: list[str], folder: Path) -> set[str]:
    """The files of a render that are to be left alone, as cruft takes it: paths, and patterns where there is a `*`."""
    (project,) = (folder / "out").iterdir()
    try:
        named = {
            path
            for name in names
            for path in (project.glob(name) if "*" in name else [project / name])
        }
    except ValueError as error:  # before Python 3.13, of "a**b"
        raise UpdateError(f"skip: {names!r}: {error}; name paths in the project") from None
    rendered = (path for path in project.rglob("*") if not path.is_dir())
    return {
        path.relative_to(project).as_posix()
        for path in rendered
        if not named.isdisjoint([path, *path.parents])
    }


def pick(commit: str) -> tuple[list[str], list[str]]:
    """Applies a commit's changes to the working tree. Raises UpdateError.

    Gives the files with conflicts, and those that it changes and the user removed: these stay away, where git would
    leave the template's new version.
    """
    # A new file goes where the template has it, which unknown_to_git has looked at, and not where its folder went.
    command = ["git", "-c", "merge.directoryRenames=false", "cherry-pick", "--no-commit", commit]
    done = run(command, ".")
    removed = unmerged("DU")
    for name in removed:
        git("rm", "--quiet", "--force", "--", name)
    conflicts = unmerged()
    if done.returncode and not (removed or conflicts):
        raise UpdateError(f"git cherry-pick: {last_line(done)}")
    return conflicts, removed


def unmerged(kind: str = "") -> list[str]:
    """The files that git could not merge: all, or those of a kind, as `git status` calls it."""
    kinds = [kind] if kind else ["AA", "AU", "DD", "DU", "UA", "UD", "UU"]
    lines = git("status", "--porcelain", "-z", "--no-renames").split("\0")
    prefix = git("rev-parse", "--show-prefix").strip()
    return [os.path.relpath(line[3:], prefix or ".") for line in lines if line[:2] in kinds]


def update(version: str, answers: str) -> list[str]:
    """Updates the project in this folder; gives what there is to say. Raises UpdateError."""
    check_tree()
    prefix = git("rev-parse", "--show-prefix").strip()
    kept = state()
    skip = skip_of(kept)
    with tempfile.TemporaryDirectory(prefix="update-") as name:
        place = Path(name).resolve()
        template = place / "template"
        clone(kept["template"], template)
        old = commit_of(kept["commit"], template, f"which {KEPT} names; {LINK}")
        wanted = version or kept.get("checkout") or "HEAD"
        new = commit_of(wanted, template, "which VERSION names; `git tag` there lists those it has")
        changed = wished(answers, asked(template, new))
        if old == new and not changed:
            stays = "" if version or wanted == "HEAD" else f", {wanted}; VERSION=HEAD is the newest"
            return [f"nothing to update: the project is of the template's version {new[:7]}{stays}"]

        said = kept["context"]["cookiecutter"]
        if missing := [key for key in asked(template, old) if key not in said]:
            raise UpdateError(
                f"{KEPT} has no answer to {missing[0]!r}; write it there and commit it"
            )
        mine = {key: said[key] for key in asked(template, old)}
        render(template, old, mine, place / "old")
        mine = {key: said[key] for key in asked(template, new) if key in said}
        context = render(template, new, mine | changed, place / "new")

        left_out = unknown_to_git(place / "new")
        for which in ("old", "new"):
            left_out |= skipped(skip, place / which)
        trees = [
            tree_of(place / which, left_out, place / "index", prefix) for which in ("old", "new")
        ]
        base = commit_tree(trees[0], f"The template at {old[:7]}")
        target = commit_tree(trees[1], f"the template at {new[:7]}", base)
        conflicts, removed = pick(target)

    kept["commit"] = new
    if version:  # or the next update would go back to the one before
        kept["checkout"] = None if version == "HEAD" else version
    own = {key: value for key, value in context.items() if key not in UNKEPT}
    kept["context"] = {"cookiecutter": own | {"_template": kept["template"], "_commit": new}}
    KEPT.write_text(json.dumps(kept, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    git("add", "--", str(KEPT))
    return [
        *(f"conflict: {name}" for name in conflicts),
        *(
            f"not here any more, and changed by the template: {name}; "
            f"`git diff {base[:12]} {target[:12]} -- {shlex.quote(name)}` shows it"
            for name in removed
        ),
        f"updated from {old[:7]} to {new[:7]}: `git diff HEAD` shows it, `git reset --hard` takes it back",
    ]


def main() -> int:
    """Updates the project; the exit status is 1 where nothing is done, or there are conflicts."""
    # As Ctrl-C: the temporary folder goes.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        lines = update(os.environ.get("VERSION", ""), os.environ.get("ANSWERS", ""))
    except UpdateError as error:
        print(f"make update: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "make update: stopped; `git reset --hard` takes back what `git status` shows",
            file=sys.stderr,
        )
        return 130
    print("\n".join(lines))
    return 1 if lines[0].startswith("conflict: ") else 0


if __name__ == "__main__":
    sys.exit(main())
