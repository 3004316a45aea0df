"""What a valid answer is: one pure function a rule. The only home of rules.

A rule takes an answer's value and returns what is wrong with it, as a phrase that ends with a value
that would do, or None. cookiecutter loads this module as a Jinja extension (`_extensions` in
cookiecutter.json); update tools render old answers through it, so the names of its filters are an
interface:

- `check` stops the questions at the first problem, in one line;
- `problems` gives them all, for hooks/pre_gen_project.py;
- `slug`, `quoted` and `markdown` put an answer into a place of its own syntax.

The module is loaded before the first question, by every way to generate or update a project, so here
an old cookiecutter is refused as well. (A pre_prompt hook would run only for some of those ways, and
makes cookiecutter copy the whole repository first.)
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping

import cookiecutter
from cookiecutter.exceptions import FailedHookException
from jinja2 import Environment
from jinja2.ext import Extension
from slugify import slugify

COOKIECUTTER_MIN = (2, 7)  # it needs Python 3.10 itself

SLUG_MAX = 40  # leaves room for suffixes in a DNS label of 63 (a pod's name, a volume's)
WORKERS_MAX = 64

# The slug is the package's name too: a project that depends on itself cannot be installed.
DEPENDENCIES = frozenset(
    {
        "brotli",
        "django",
        "django-stubs",
        "environs",
        "granian",
        "mypy",
        "pytest",
        "pytest-django",
        "python-json-logger",
        "rloop",
        "ruff",
        "servestatic",
        "uvloop",
    }
)

# https://learn.microsoft.com/windows/win32/fileio/naming-a-file
WINDOWS_DEVICES = frozenset(
    {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}
)

HOST_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
MARKDOWN_SYNTAX = re.compile(r"([\\`*_{}\[\]<>()#+\-.!|&~$])")


def too_old(version: str) -> str | None:
    """Why this version of cookiecutter will not do. Good: "2.7.1", "3.0.0b1". Bad: "2.6.0"."""
    if tuple(int(part) for part in version.split(".")[:2]) < COOKIECUTTER_MIN:
        return f"cookiecutter {version} is too old; `pip install -U 'cookiecutter>=2.7'` mends it"
    return None


def is_one_line(value: str, *, longest: int) -> str | None:
    """One line of visible text.

    Good: "Café", "O'Brien & Sons", "我的网站". Bad: "", " ", "two\\nlines", "bell\\a", "a" * 10_000.
    """
    if not value.strip():
        return "is empty; give it some text"
    if value != value.strip():
        return f"starts or ends with a space; try {value.strip()!r}"
    if len(value) > longest:
        return f"has {len(value)} characters; {longest} are the most"
    for character in value:
        if is_invisible(character):
            name = unicodedata.name(character, f"U+{ord(character):04X}")
            return f"contains {name}, which cannot be seen; leave it out"
    return None


def is_invisible(character: str) -> bool:
    """Control characters, line ends, lone surrogates and what reorders or hides the text around it.

    The joiners U+200C and U+200D stay: emoji and several scripts are written with them.
    """
    category = unicodedata.category(character)
    if category == "Cf":
        return character not in "\u200c\u200d"
    return category in {"Cc", "Cn", "Co", "Cs", "Zl", "Zp"} or (
        category == "Zs" and character != " "
    )


def project_name(value: str) -> str | None:
    """A name for people. Good: "My Project", "我的网站". Bad: "", "a" * 61."""
    return is_one_line(value, longest=60)


def project_slug(value: str) -> str | None:
    """A DNS label (RFC 1035, section 2.3.1) that can name a folder and a package on every system.

    Good: "my-project", "shop2". Bad: "", "My_Project", "2fast", "shop-", "django", "con".
    """
    suggestion = slug(value)
    if not value:
        return "is empty; try 'my-project'"
    if len(value) > SLUG_MAX:
        return f"has {len(value)} characters, {SLUG_MAX} are the most; try {suggestion!r}"
    if not re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", value):
        return (
            "may hold only a-z, 0-9 and '-', must start with a letter and end with a letter or"
            f" digit; try {suggestion!r}"
        )
    if value in DEPENDENCIES:
        return f"is the name of a package that the project installs; try {suggestion!r}"
    if value in WINDOWS_DEVICES:
        return f"cannot name a folder on Windows; try {suggestion!r}"
    return None


def description(value: str) -> str | None:
    """One line on what the project does. Good: "Sells tea.". Bad: "", "two\\nlines"."""
    return is_one_line(value, longest=200)


def author_name(value: str) -> str | None:
    """A person or a team. Good: "Zoë O'Brien". Bad: ""."""
    return is_one_line(value, longest=100)


def author_email(value: str) -> str | None:
    """An e-mail address that package metadata takes. Good: "a@b.example". Bad: "a", "a@b", "a b@c.d"."""
    local, at, host = value.rpartition("@")
    if not at or not re.fullmatch(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}", local):
        return "is not an e-mail address; try 'team@example.com'"
    if local.startswith(".") or local.endswith(".") or ".." in local:
        return "has a misplaced dot before the '@'; try 'team@example.com'"
    if domain_name(host.lower()) or "." not in host:
        return f"has no valid host name behind the '@' ({host!r}); try 'team@example.com'"
    return None


def domain_name(value: str) -> str | None:
    """A host name (RFC 1123, section 2.1), in ASCII, without scheme, port or path.

    Good: "example.com", "localhost", "xn--bcher-kva.example". Bad: "", "https://example.com",
    "example.com:8000", "a..b", "-a.com", "bücher.example" (the message gives its ASCII form).
    """
    if not value:
        return "is empty; try 'example.com'"
    if "://" in value or "/" in value:
        return "is an address; give the host name alone, such as 'example.com'"
    if re.search(r":\d*$", value):
        return "has a port; give the host name alone, such as 'example.com'"
    if not value.isascii():
        try:
            return f"is not in ASCII; write {value.lower().encode('idna').decode()!r}"
        except UnicodeError:
            return "is not a host name; try 'example.com'"
    if value != value.lower():
        return f"has capitals; write {value.lower()!r}"
    if len(value) > 253:
        return f"has {len(value)} characters; 253 are the most"
    if not all(HOST_LABEL.fullmatch(label) for label in value.split(".")):
        return "is not a host name; try 'example.com'"
    if value.rpartition(".")[2].isdigit():
        return "is an IP address or ends like one; give a host name, such as 'example.com'"
    return None


def workers(value: str) -> str | None:
    """A number of processes. Good: "1", "64". Bad: "", "0", "65", "two", "1.5", "١"."""
    if not re.fullmatch(r"[0-9]{1,3}", value) or not 1 <= int(value) <= WORKERS_MAX:
        return f"is not a whole number from 1 to {WORKERS_MAX}; try '1'"
    return None


RULES: Mapping[str, Callable[[str], str | None]] = {
    rule.__name__: rule
    for rule in (
        project_name,
        project_slug,
        description,
        author_name,
        author_email,
        domain_name,
        workers,
    )
}

# Answers that cannot stand together: ((answer, value), (answer, value), the reason and the mend).
REFUSED_COMBINATIONS: tuple[tuple[tuple[str, str], tuple[str, str], str], ...] = ()


def problems(answers: Mapping[str, object]) -> Iterator[str]:
    """Every problem of the answers given so far, one line each: answer, value, reason, mend."""
    for answer, rule in RULES.items():
        if answer in answers:
            value = str(answers[answer])
            if reason := rule(value):
                yield f"{answer}: {shortened(value)} {reason}"
    for (first, first_value), (second, second_value), reason in REFUSED_COMBINATIONS:
        if answers.get(first) == first_value and answers.get(second) == second_value:
            yield f"{first}={first_value} with {second}={second_value}: {reason}"


def shortened(value: str) -> str:
    """A value as a message quotes it: on one line, and no longer than a line."""
    quoted_value = ascii(value) if any(map(is_invisible, value)) else repr(value)
    return quoted_value if len(quoted_value) <= 70 else f"{quoted_value[:60]}...{quoted_value[-1]}"


def check(answers: Mapping[str, object]) -> str:
    """Nothing, where the answers given so far are right.

    Raises FailedHookException otherwise: cookiecutter prints its text as one line, creates nothing
    and exits with status 1.
    """
    for problem in problems(answers):
        raise FailedHookException(problem)
    return ""


def slug(name: str) -> str:
    """A valid slug made of a name: "My Project" gives "my-project", "3D Printer" "project-3d-printer"."""
    made = slugify(name, max_length=SLUG_MAX)
    if made[:1].isdigit():
        made = slugify(f"project {name}", max_length=SLUG_MAX)
    if made in DEPENDENCIES | WINDOWS_DEVICES:
        made = f"{made}-project"
    return made or "my-project"


def quoted(value: str) -> str:
    """A double-quoted string that TOML, YAML, JSON and Python read alike."""
    return json.dumps(value, ensure_ascii=False)


def markdown(value: str) -> str:
    """Text that Markdown shows as it is (CommonMark 0.31, section 2.4)."""
    return MARKDOWN_SYNTAX.sub(r"\\\1", value)


class TemplateRules(Extension):
    """The filters, as cookiecutter loads them. Raises FailedHookException where it is too old."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        if reason := too_old(cookiecutter.__version__):
            raise FailedHookException(reason)
        environment.filters.update(
            check=check,
            problems=lambda answers: list(problems(answers)),
            slug=slug,
            quoted=quoted,
            markdown=markdown,
        )
