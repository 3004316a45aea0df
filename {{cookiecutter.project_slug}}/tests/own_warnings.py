"""Makes an error of each warning of the project's own code, a new app's too; of no library's and no plugin's.

A warning belongs to the code that it names: what calls something deprecated, say.
https://docs.pytest.org/en/stable/how-to/capture-warnings.html
"""

import re
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OWN = sorted(
    path.stem
    for path in ROOT.iterdir()
    if path.stem.isidentifier()
    and (path.suffix == ".py" or any(path.glob("*.py")) or any(path.glob("*/__init__.py")))
)
MODULE = rf"({'|'.join(OWN)})(\.|$)"

# What pytest says of an exception that nobody could catch: of own code, or of a coroutine that it forgot.
UNCAUGHT = rf'(?s).*(File "[^"]*[/\\]{re.escape(ROOT.name)}[/\\]({"|".join(OWN)})\b|never awaited)'


def pytest_configure(config: pytest.Config) -> None:
    """A test that warns fails, and so does a module that does when it is collected."""
    # In front, since the last line that fits decides: `filterwarnings` in pyproject.toml can let one pass.
    config.getini("filterwarnings")[:0] = [
        f"error:::{MODULE}",
        f"error:{UNCAUGHT}:pytest.PytestUnhandledThreadExceptionWarning",
        f"error:{UNCAUGHT}:pytest.PytestUnraisableExceptionWarning",
    ]


def pytest_warning_recorded(warning_message: warnings.WarningMessage, when: str) -> None:
    """Settings and models that warn end the run: they are imported before the filters are there.

    Raises pytest.UsageError, which is shown as one line.
    """
    path = Path(warning_message.filename)
    if when == "config" and path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in OWN:
        kind = warning_message.category.__name__
        raise pytest.UsageError(
            f"{path}:{warning_message.lineno}: {kind}: {warning_message.message}"
        )
