"""The questions as a person at a terminal sees them."""

import ast
import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests.conftest import ROOT, questions
from tests.support.answers import text_questions
from tests.support.command import PROGRAMS, home, template_repository
from tests.support.server import PATIENCE

PROMPTS = json.loads((ROOT / "cookiecutter.json").read_bytes())["__prompts__"]
REFUSED = {
    "project_name": "two\tcolumns",
    "project_slug": "My_Shop",
    "description": "{{ x }}",
    "author_name": "  ",
    "author_email": "team",
    "domain_name": "https://tea.example",
    "workers": "99",
}


def prompt(answer: str) -> str:
    """What a question says, at its place in the count."""
    text = PROMPTS[answer]
    place = list(questions()).index(answer) + 1
    return f"[{place}/{len(questions())}] {text if isinstance(text, str) else text['__prompt__']}"


class Conversation:
    """cookiecutter, or cruft, in a terminal."""

    def __init__(self, folder: Path, *command: str) -> None:
        program, *arguments = command or ("cookiecutter", str(ROOT))
        self.child: Any = pexpect.spawn(
            str(PROGRAMS / program), arguments, cwd=str(folder), timeout=PATIENCE,
            env=home(folder) | {"TERM": "dumb"}, encoding="utf-8", dimensions=(50, 300),
        )  # fmt: skip

    def answer(self, question: str, reply: str = "") -> None:
        """Waits for a question and answers it; with nothing, it takes the default."""
        self.child.expect_exact(prompt(question))
        self.child.expect(r"\): ")
        self.child.sendline(reply)

    def answer_rest(self, question: str) -> None:
        """Takes the defaults of this question and of all behind it."""
        asked = list(questions())
        for later in asked[asked.index(question) :]:
            self.answer(later)

    def refused(self, question: str) -> str:
        """What is said of the answer to a question, which is then asked again."""
        self.child.expect(rf"\n({question}: [^\r\n]*)\r\n")
        return re.sub(r"\x1b\[[0-9;]*m", "", self.child.match[1])

    def answer_until(self, question: str) -> None:
        """Takes the defaults of all questions that come before this one."""
        for earlier in questions():
            if earlier == question:
                return
            self.answer(earlier)

    def end(self) -> tuple[int, str]:
        """The exit status, and what was said after the last answer."""
        self.child.expect(pexpect.EOF)
        self.child.close()
        said = re.sub(r"\x1b\[[0-9;]*m", "", self.child.before)
        return self.child.exitstatus, said.replace("\r\n", "\n")


@pytest.fixture
def conversation(tmp_path: Path) -> Iterator[Conversation]:
    made = Conversation(tmp_path)
    yield made
    made.child.close(force=True)


def test_every_question_is_asked_with_a_text_and_the_end_says_what_to_do(
    conversation: Conversation, tmp_path: Path
) -> None:
    given = {"project_name": "Café “Zoë” {1}", "workers": "2", "access_log": "n", "event_loop": "2"}
    for question in questions():
        conversation.answer(question, given.get(question, ""))

    status, said = conversation.end()

    assert status == 0, said
    assert "cd cafe-zoe-1\n    make setup run" in said
    project = tmp_path / "cafe-zoe-1"
    assert 'PROJECT_NAME = "Café “Zoë” {1}"' in (project / "config" / "settings.py").read_text()
    flags = (project / "config" / "granian.env").read_text()
    for line in ("GRANIAN_WORKERS=2", "GRANIAN_LOOP=asyncio", "GRANIAN_LOG_ACCESS_ENABLED=false"):
        assert line in flags.splitlines()


@pytest.mark.parametrize("question", REFUSED)
def test_a_bad_text_is_asked_for_again_and_what_would_do_is_the_default(
    conversation: Conversation, tmp_path: Path, question: str
) -> None:
    conversation.answer_until(question)
    conversation.answer(question, REFUSED[question])
    line = conversation.refused(question)
    would_do = re.search(r"""; try (['"].*['"])$""", line)
    assert would_do, line
    conversation.answer_rest(question)

    status, said = conversation.end()

    assert status == 0, said
    given = answers(tmp_path)
    assert given[question] == ast.literal_eval(would_do[1])
    assert (tmp_path / given["project_slug"] / "manage.py").exists()


def answers(folder: Path) -> dict[str, Any]:
    """The answers of the last project, as cookiecutter keeps them in a home folder."""
    kept = (folder / ".cookiecutter_replay" / f"{ROOT.name}.json").read_bytes()
    found: dict[str, Any] = json.loads(kept)["cookiecutter"]
    return found


# What a shell, a terminal or a template would take for its own.
HARD = {
    "project_name": "Zoë's “Tee” & $HOME",
    "project_slug": "zoes-tee",
    "description": 'it\'s "5 $" for `tea`; [bold]ä[/bold] \\n {x} 100 %',
    "author_name": "O'Brien \\ Söhne <$USER>",
    "author_email": "o'brien+$x@example.com",
}


@pytest.mark.parametrize("program", ["cookiecutter", "cruft"])
def test_a_mistake_at_the_twelfth_question_loses_no_answer(tmp_path: Path, program: str) -> None:
    template = str(ROOT)
    if program == "cruft":
        (tmp_path / "template").mkdir()
        template = str(template_repository(tmp_path / "template"))
    command = ("cruft", "create", template) if program == "cruft" else ("cookiecutter", template)
    conversation = Conversation(tmp_path, *command)
    for question in questions():
        if question == "workers":
            for wrong in ("99", "two", "-1", "١", "1; 2"):
                conversation.answer("workers", wrong)
                assert "is not a whole number from 1 to 64; try '1'" in conversation.refused(
                    "workers"
                )
            conversation.answer("workers", "4")
        else:
            conversation.answer(question, HARD.get(question, ""))

    status, said = conversation.end()

    assert status == 0, said
    project = tmp_path / "zoes-tee"
    metadata = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    assert metadata["description"] == HARD["description"]
    assert metadata["authors"] == [{"name": HARD["author_name"], "email": HARD["author_email"]}]
    assert "GRANIAN_WORKERS=4" in (project / "config" / "granian.env").read_text()


def test_where_nobody_can_be_asked_again_a_bad_text_ends_in_one_line(tmp_path: Path) -> None:
    """As behind a pipe, where the next line is the answer to another question."""
    lines = [REFUSED["project_name"], *["" for _ in questions()]]
    done = subprocess.run(
        [PROGRAMS / "cookiecutter", ROOT], input="\n".join(lines), cwd=tmp_path, env=home(tmp_path),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.count("\n") + done.stdout.count("\n") <= 2, done.stdout + done.stderr
    assert "project_name: 'two\\tcolumns' contains" in done.stderr + done.stdout
    assert not [path for path in tmp_path.iterdir() if not path.name.startswith(".")]


def test_a_choice_that_is_none_is_asked_again(conversation: Conversation) -> None:
    conversation.answer_until("event_loop")
    conversation.answer("event_loop", "9")
    conversation.child.expect("Please select one of the available options")
    conversation.answer("event_loop", "3")
    for later in list(questions())[list(questions()).index("event_loop") + 1 :]:
        conversation.answer(later)

    status, said = conversation.end()

    assert status == 0, said


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        (("database", "1"), ("kubernetes", "y", "n"), "database=sqlite with kubernetes=true: the pods share"),
        (("lifespan_mode", "3"), ("telemetry", "2", "1"), "lifespan_mode=disabled with telemetry=sentry: "),
    ],
    ids=["a switch", "a choice"],
)  # fmt: skip
def test_of_two_answers_that_cannot_stand_together_the_later_is_asked_again(
    conversation: Conversation,
    tmp_path: Path,
    first: tuple[str, str],
    second: tuple[str, str, str],
    says: str,
) -> None:
    (earlier, value), (later, wrong, right) = first, second
    asked = list(questions())
    behind = asked.index(later) + 1
    for question in asked[:behind]:
        conversation.answer(question, {earlier: value, later: wrong}.get(question, ""))
    conversation.child.expect_exact(says)
    for question, reply in [(later, right), *((question, "") for question in asked[behind:])]:
        conversation.answer(question, reply)
    status, said = conversation.end()
    assert status == 0, said
    assert (tmp_path / "my-project" / "manage.py").exists()


def test_a_folder_that_exists_is_said_behind_the_slug_with_a_free_one(
    conversation: Conversation, tmp_path: Path
) -> None:
    (tmp_path / "my-project").mkdir()
    conversation.answer_until("description")
    assert "'my-project' is there already" in conversation.refused("project_slug")
    conversation.answer_rest("project_slug")

    status, said = conversation.end()

    assert status == 0, said
    assert (tmp_path / "my-project-2" / "manage.py").exists()


def test_every_text_is_refused_in_a_conversation() -> None:
    assert REFUSED.keys() == text_questions()


def test_every_question_has_a_text_and_every_choice_too() -> None:
    assert PROMPTS.keys() == questions().keys()
    for answer, default in questions().items():
        if isinstance(default, list):
            assert PROMPTS[answer].keys() == {"__prompt__", *default}, answer
        assert "[" not in json.dumps(PROMPTS[answer]), "the terminal would read it as markup"
