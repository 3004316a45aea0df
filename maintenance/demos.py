"""Generates the demo projects, so that a change's effect on them can be read: `python -m maintenance.demos FOLDER`."""

import sys
import tempfile
from pathlib import Path

from cookiecutter.main import cookiecutter

ROOT = Path(__file__).parent.parent

# The project's name, which names its folder, and the answers that are not the first ones.
DEMOS: dict[str, dict[str, str]] = {
    "Default": {},
    "Services": {"database": "postgres", "cache": "valkey", "tasks": "database"},
    "Sentry": {"telemetry": "sentry", "cache": "valkey", "lifespan_mode": "optional"},
    "Traces": {"telemetry": "opentelemetry", "database": "postgres", "ci": "none"},
    "Pods": {"kubernetes": "yes", "database": "postgres", "ci": "gitlab"},
}


def make(folder: Path) -> None:
    """Generates each of them into a folder, which is to be empty."""
    with tempfile.TemporaryDirectory() as own:
        config = Path(own) / "config.yaml"
        config.write_text(f"replay_dir: {own}\ncookiecutters_dir: {own}\n")
        for name, answers in DEMOS.items():
            cookiecutter(
                str(ROOT),
                no_input=True,
                extra_context={"project_name": name, **answers},
                output_dir=str(folder),
                config_file=str(config),
            )


if __name__ == "__main__":
    make(Path(sys.argv[1]))
