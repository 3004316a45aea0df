"""Reads .env files, completely or not at all, for every way to start the project.

    python -m serving_tools.env_file FILE...                   # checks them
    python -m serving_tools.env_file FILE... -- COMMAND...     # and runs a command with their variables

A line is read if uv, python-dotenv and Docker Compose would all read it the same way; any other is refused
with its number, and nothing is run. No message shows a value, which may be a secret. A variable that is set
already overrides a file, and a later file an earlier one.

The grammar, a line each; spaces and tabs may stand before a name, around the = and at the end:

    # comment
    [export] NAME=plain                 no blank, quote, $ or backslash in it, and no # to begin with
    [export] NAME="with ${OTHER} name"  no backslash, and no $ that is not of a ${NAME}
    [export] NAME='taken as it is'      no ${...}, and no backslash before a backslash or the end
    NAME=plain # comment                without quotes, $ or backslash

${NAME} stands for a variable that is set already, or by a line above. Runs by itself on Python 3.9
and newer, since Compose's targets need no environment of the project's.

https://docs.docker.com/compose/how-tos/environment-variables/variable-interpolation/#env-file-syntax
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Collection, Mapping, MutableMapping
from pathlib import Path

NAME = r"[A-Za-z_][A-Za-z0-9_]*"
REFERENCE = r"\$\{" + NAME + r"\}"
PLAIN = rf"(?:[^\s'\"\\$]|{REFERENCE})"
LINE = re.compile(
    rf"[ \t]*(?:export[ \t]+)?(?P<name>{NAME})[ \t]*=[ \t]*"
    rf"(?:(?:'(?P<single>(?:[^'\\]|\\(?![\\']))*)'"
    rf'|"(?P<double>(?:[^"\\$]|{REFERENCE})*)"'
    rf"|(?P<plain>(?!\#){PLAIN}+))(?: +\#[^'\"\\$]*)?)?"
    r"[ \t]*"
)

BARE_DOLLAR = "has a $ that is not of a ${NAME}"
QUOTED_REFERENCE = "has ${...} in single quotes, which some readers replace"


class EnvFileError(Exception):
    """A file that can't be read; the message has a line for each reason."""


def load(path: Path, environ: MutableMapping[str, str], name: str | None = None) -> None:
    """Sets what a file says and `environ` does not. Raises EnvFileError; nothing is set then."""
    for variable, value in read(path, environ, name).items():
        environ.setdefault(variable, value)


def read(path: Path, environ: Mapping[str, str], name: str | None = None) -> dict[str, str]:
    """The variables of a file. Raises EnvFileError, which calls the file by this name, or its path."""
    name = name or str(path)
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise EnvFileError(f"{name} is not there; `make .env` writes one") from None
    except OSError as error:
        raise EnvFileError(f"{name} can't be read: {error.strerror}") from None
    if raw.startswith(b"\xef\xbb\xbf"):
        raise EnvFileError(f"{name} line 1: begins with a byte order mark; save it without one")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise EnvFileError(f"{name} line {line}: is not UTF-8; save it as UTF-8") from None
    return parse(text, environ, name)


def has_one_of(path: Path, names: Collection[str]) -> bool:
    """Whether a file that can be read sets one of these variables."""
    try:
        values = read(path, os.environ)
    except EnvFileError:
        return False
    return any(values.get(name) for name in names)


def parse(text: str, environ: Mapping[str, str], name: str = ".env") -> dict[str, str]:
    """The variables of a text. Raises EnvFileError for all lines that can't be read."""
    values: dict[str, str] = {}
    lines: dict[str, int] = {}  # where each name stands
    problems: list[str] = []
    for number, ended in enumerate(text.split("\n"), 1):
        line = ended.removesuffix("\r")
        if not line.strip(" \t") or line.lstrip(" \t").startswith("#"):
            continue
        found = LINE.fullmatch(line)
        problem = None if found else why_refused(line)
        if found:
            problem = why_unusable(found)
            variable = found["name"]
            known = {**values, **environ}
            unknown = [each for each in references(found) if each not in known]
            if variable in lines:
                problem = (
                    f"{variable} stands in line {lines[variable]} already; keep one of the two"
                )
            elif unknown:
                problem = (
                    f"{variable} names {unknown[0]}, which no line above it sets;"
                    f" set it there, or write the value in single quotes: {variable}='...'"
                )
            lines.setdefault(variable, number)
            values[variable] = "" if problem else value(found, known)
        if problem:
            problems.append(f"{name} line {number}: {problem}")
    if problems:
        raise EnvFileError("\n".join(problems))
    return values


def references(found: re.Match[str]) -> list[str]:
    """The names in the ${NAME} of a line's value."""
    return [each[2:-1] for each in re.findall(REFERENCE, found["double"] or found["plain"] or "")]


def value(found: re.Match[str], known: Mapping[str, str]) -> str:
    """A line's value, its ${NAME} replaced."""
    if found["single"] is not None:
        return found["single"]
    text = found["double"] or found["plain"] or ""
    return re.sub(REFERENCE, lambda each: known[each[0][2:-1]], text)


def why_unusable(found: re.Match[str]) -> str | None:
    """What is wrong with a line that has the right form: letters that readers take differently."""
    name, text = found["name"], found["single"] or found["double"] or found["plain"] or ""
    if name == "export":
        return "export is no name of a variable"
    if found["single"] and re.search(r"\$\{.*\}", text):
        return f"{name} {QUOTED_REFERENCE}; {in_a_file(name)}"
    quoted = not found["plain"]
    for letter in text:
        if not letter.isprintable() and not (quoted and (letter == "\t" or letter > "\x9f")):
            return f"{name} has an invisible character (U+{ord(letter):04X}); remove it"
    return None


def why_refused(line: str) -> str:
    """What is wrong with a line that does not have the right form."""
    start = re.match(rf"[ \t]*(?:export[ \t]+)?({NAME})[ \t]*=[ \t]*", line)
    if not start:
        if "=" not in line:
            return "has no =; write NAME=value, or # before a comment"
        return "has no name before the =, which is made of letters, digits and _"
    name, rest = start[1], line[start.end() :]
    in_quotes = f"write {name}='...'"
    if rest[:1] in {"'", '"'}:
        quote, inside = rest[0], rest[1:]
        escaped = re.search(r"\\[\\']" if quote == "'" else r"\\", inside.split(quote)[0] + quote)
        if escaped:
            fix = in_a_file(name) if quote == "'" else in_quotes
            return f"{name} has a backslash in its quotes, which readers take differently; {fix}"
        if quote not in inside:
            return (
                f"{name} opens a quote that its line does not close; close it, or {in_a_file(name)}"
            )
        if quote == '"' and "$" in inside.split(quote)[0]:
            return f"{name} {BARE_DOLLAR}; {in_quotes}"
        return f"{name} has something behind the closing quote; {in_quotes}, a comment on a line of its own"
    if rest.startswith("#"):
        return f"{name} begins with a #, which some readers take for a comment; {in_quotes}"
    text, _, comment = rest.partition(" #")
    if re.search(r"""['"]""", text):
        return f"{name} has a quote within its value; {in_quotes}, or {in_a_file(name)}"
    if "\\" in text:
        return f"{name} has a backslash outside quotes; {in_quotes}"
    if "$" in re.sub(REFERENCE, "", text):
        return f"{name} {BARE_DOLLAR}; {in_quotes}"
    if re.search(r"\s", text.rstrip(" \t")) or not comment:
        return f"{name} has a space outside quotes; {in_quotes}"
    return f"{name} has a comment that readers take differently; put it on a line of its own"


def in_a_file(name: str) -> str:
    return f"put the value into a file and its path into {name}_FILE"


def main(arguments: list[str]) -> None:
    """The command line. Ends the process with a message where a file can't be read."""
    if os.getpid() == 1:  # of a container: it would ignore what it does not handle
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    files, command = arguments, []
    if "--" in arguments:
        at = arguments.index("--")
        files, command = arguments[:at], arguments[at + 1 :]
    environ = dict(os.environ)
    problems = []
    for file in reversed(files):  # a later file wins, so it is asked first
        try:
            load(Path(file), environ)
        except EnvFileError as error:
            problems.append(str(error))
    if problems:
        sys.exit("\n".join(reversed(problems)))
    if command:
        try:
            os.execvpe(command[0], command, environ)  # noqa: S606
        except OSError as error:
            sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
