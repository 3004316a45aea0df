"""The settings refuse what is missing or wrong, all of it at once, and show no secret."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
SECRET = "0123456789abcdef" * 4
KEPT = ("PATH", "SYSTEMROOT", "PYTHONPATH", "DATABASE_URL", "CACHE_URL")


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs Python in a process of its own, with these variables and none of ours but KEPT."""
    environment = {name: os.environ[name] for name in KEPT if name in os.environ}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**environment, "DJANGO_SETTINGS_MODULE": "config.settings", **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def load_settings(**variables: str) -> subprocess.CompletedProcess[str]:
    return run("-c", "import config.settings", **variables)


def test_every_problem_is_listed_at_once() -> None:
    done = load_settings(
        DATABASE_URL="nosuch://ada:hunter2@db/shop", LIFESPAN="on", LIFESPAN_STARTUP_TIMEOUT="soon"
    )

    assert done.returncode == 1
    assert "SECRET_KEY: Environment variable not set." in done.stderr
    assert "DATABASE_URL: Not a valid database URL." in done.stderr
    assert "LIFESPAN='on': Must be one of: required, optional, disabled." in done.stderr
    assert "LIFESPAN_STARTUP_TIMEOUT='soon': Not a valid number." in done.stderr
    assert "hunter2" not in done.stderr


def test_lists_are_stripped_and_checked_item_by_item() -> None:
    wrong = {
        "ALLOWED_HOSTS": "",
        "TRUSTED_PROXIES": "10.0.0.0/8, the-proxy",
        "CSRF_TRUSTED_ORIGINS": "https://tea.example, tea.example",
        "SECURE_HSTS_SECONDS": "-1",
    }
    said = load_settings(SECRET_KEY=SECRET, **wrong).stderr

    assert "ALLOWED_HOSTS='': Shorter than minimum length 1." in said
    assert "'the-proxy' is not an address (10.0.0.2), a network" in said
    assert "'tea.example' is not scheme://host." in said
    assert "SECURE_HSTS_SECONDS='-1': Must be from 0 to 2147483647." in said
    spaced = {"ALLOWED_HOSTS": "a.example, b.example", "TRUSTED_PROXIES": " ::1 , 10.0.0.0/8"}
    assert load_settings(SECRET_KEY=SECRET, **spaced).returncode == 0


def test_a_secret_is_needed_and_a_long_one_but_for_debugging() -> None:
    assert "SECRET_KEY: Shorter than minimum length 50" in load_settings(SECRET_KEY="short").stderr
    assert load_settings(DEBUG="true").returncode == 0


def test_the_command_line_says_what_is_wrong_without_a_traceback() -> None:
    done = run("manage.py", "check", SECRET_KEY="short", DEBUG="false")  # over .env
    assert done.returncode == 1
    assert done.stderr.startswith("manage.py: The environment holds values")
    assert "Traceback" not in done.stderr


def test_production_passes_djangos_own_check() -> None:
    check = ("-m", "django", "check", "--deploy", "--fail-level", "WARNING")
    done = run(*check, SECRET_KEY=SECRET)  # and no .env, which manage.py reads
    assert "EMAIL_URL is not set: no mail is sent" in done.stderr
    done = run(*check, SECRET_KEY=SECRET, EMAIL_URL="smtps://ada:hunter2@mail.example")
    assert done.returncode == 0, done.stderr
