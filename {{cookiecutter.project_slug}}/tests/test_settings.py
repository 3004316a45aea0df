"""The settings refuse what is missing or wrong, all of it at once, and show no secret."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
SECRET = "0123456789abcdef" * 4
ADDRESSES = {name: os.environ[name] for name in ("DATABASE_URL", "CACHE_URL") if name in os.environ}


def load_settings(**variables: str) -> subprocess.CompletedProcess[str]:
    """Imports the settings in a process of its own, with these variables and no other of ours."""
    environment = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-c", "import config.settings"],
        cwd=ROOT,
        env=environment | ADDRESSES | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_problem_is_listed_at_once() -> None:
    run = load_settings(
        DATABASE_URL="nosuch://ada:hunter2@db/shop", LIFESPAN="on", LIFESPAN_STARTUP_TIMEOUT="soon"
    )

    assert run.returncode == 1
    assert "SECRET_KEY: Environment variable not set." in run.stderr
    assert "DATABASE_URL: Not a valid database URL." in run.stderr
    assert "LIFESPAN='on': Must be one of: required, optional, disabled." in run.stderr
    assert "LIFESPAN_STARTUP_TIMEOUT='soon': Not a valid number." in run.stderr
    assert "hunter2" not in run.stderr


def test_lists_are_stripped_and_checked_item_by_item() -> None:
    variables = {
        "SECRET_KEY": SECRET,
        "ALLOWED_HOSTS": "",
        "TRUSTED_PROXIES": "10.0.0.0/8, the-proxy",
        "CSRF_TRUSTED_ORIGINS": "https://tea.example, tea.example",
        "SECURE_HSTS_SECONDS": "-1",
    }
    run = load_settings(**variables)

    assert "ALLOWED_HOSTS='': Shorter than minimum length 1." in run.stderr
    assert "'the-proxy' is no address (10.0.0.2), no network" in run.stderr
    assert "'tea.example' is not scheme://host." in run.stderr
    assert "SECURE_HSTS_SECONDS='-1': Must be greater than or equal to 0." in run.stderr
    spaced = {"ALLOWED_HOSTS": "a.example, b.example", "TRUSTED_PROXIES": " ::1 , 10.0.0.0/8"}
    assert load_settings(SECRET_KEY=SECRET, **spaced).returncode == 0


def test_a_short_secret_is_refused_outside_debug() -> None:
    assert "SECRET_KEY: Shorter than minimum length 50" in load_settings(SECRET_KEY="short").stderr
    assert load_settings(SECRET_KEY="short", DEBUG="true").returncode == 0


def test_the_command_line_says_what_is_wrong_without_a_traceback() -> None:
    run = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "SECRET_KEY": "short", "DEBUG": "false"},  # over .env
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert run.stderr.startswith("manage.py: The environment holds values")
    assert "Traceback" not in run.stderr


def test_debug_needs_nothing_and_is_off_unless_said() -> None:
    assert load_settings(DEBUG="true").returncode == 0
    assert load_settings().returncode == 1


def test_production_passes_djangos_own_check() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "django", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "SECRET_KEY": SECRET, **ADDRESSES}
        | {"DJANGO_SETTINGS_MODULE": "config.settings"},  # and no .env, which manage.py reads
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
