"""What an owner does in a project: `make` with its targets, an app of his own, edits of single lines."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.conftest import BUILD, ROOT, clean_environment, with_packages
from tests.support.server import SECRET_KEY
from tests.support.sites import SITES


class Owner:
    """Works in one project, with the environment that the tests share in the place of its own."""

    def __init__(self, project: Path, environment: Path) -> None:
        self.project = project
        self.variables = with_packages(project, clean_environment()) | {
            "UV": str(ROOT / ".venv/bin/uv"),
            "UV_PROJECT_ENVIRONMENT": str(environment),
            "UV_NO_SYNC": "1",
            "RUFF_NO_CACHE": "true",
            "MYPY_CACHE_DIR": str(BUILD / f"mypy-{os.environ.get('PYTEST_XDIST_WORKER', 'owner')}"),
        }
        example = (project / ".env.example").read_text()
        (project / ".env").write_text(
            example.replace("\nSECRET_KEY=\n", f"\nSECRET_KEY={SECRET_KEY}\n")
        )
        (project / ".env").chmod(0o600)

    def make(
        self, *arguments: str, check: bool = True, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Runs `make` with these arguments; what it prints is in `stdout`, errors too."""
        done = subprocess.run(
            ["make", "--no-print-directory", f"UV={self.variables['UV']}", *arguments],
            cwd=self.project,
            env=self.variables | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, done.stdout
        return done

    def manage(self, *arguments: str) -> str:
        """What a command of manage.py prints."""
        return self.make("manage", f"ARGS={' '.join(arguments)}").stdout

    def put_app(self, site: str, name: str) -> None:
        """Adds an app of tests/sites/ under another name, where Django's documentation has it added."""
        shutil.copytree(
            SITES / site, self.project / name, ignore=shutil.ignore_patterns("__pycache__")
        )
        self.write(
            "config/settings.py", "INSTALLED_APPS = [\n", f'INSTALLED_APPS = [\n    "{name}",\n'
        )
        address = f'    path("{name}/", include("{name}.urls")),\n'
        self.write("config/urls.py", "urlpatterns = [\n", f"urlpatterns = [\n{address}")

    def write(self, file: str, old: str, new: str) -> None:
        """Replaces a text, which stands there once."""
        path = self.project / file
        text = path.read_text()
        assert text.count(old) == 1, f"{file}: {old!r}"
        path.write_text(text.replace(old, new))
