"""The questions as a person at a terminal sees them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests.conftest import ROOT, questions
from tests.support.answers import text_questions
from tests.support.command import PROGRAMS, home
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
    """cookiecutter in a terminal."""

    def __init__(self, folder: Path) -> None:
        self.child: Any = pexpect.spawn(
            str(PROGRAMS / "cookiecutter"), [str(ROOT)], cwd=str(folder), timeout=PATIENCE,
            env=home(folder) | {"TERM": "dumb"}, encoding="utf-8", dimensions=(50, 300),
        )  # fmt: skip

    def answer(self, question: str, reply: str = "") -> None:
        """Waits for a question and answers it; with nothing, it takes the default."""
        self.child.expect_exact(prompt(question))
        self.child.expect(r"\): ")
        self.child.sendline(reply)

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
def test_a_bad_text_is_refused_before_the_next_question(
    conversation: Conversation, tmp_path: Path, question: str
) -> None:
    conversation.answer_until(question)
    conversation.answer(question, REFUSED[question])

    status, said = conversation.end()

    assert status == 1
    echo, line = said.strip("\n").split("\n")
    assert line.startswith(f"{question}: "), said
    assert "; " in line
    assert echo.strip() == REFUSED[question].strip()
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


def test_a_folder_that_exists_is_refused_behind_the_slug(
    conversation: Conversation, tmp_path: Path
) -> None:
    (tmp_path / "my-project").mkdir()
    conversation.answer_until("description")

    status, said = conversation.end()

    assert status == 1
    assert "project_slug: 'my-project' is there already" in said


def test_every_text_is_refused_in_a_conversation() -> None:
    assert REFUSED.keys() == text_questions()


def test_every_question_has_a_text_and_every_choice_too() -> None:
    assert PROMPTS.keys() == questions().keys()
    for answer, default in questions().items():
        if isinstance(default, list):
            assert PROMPTS[answer].keys() == {"__prompt__", *default}, answer
        assert "[" not in json.dumps(PROMPTS[answer]), "the terminal would read it as markup"
