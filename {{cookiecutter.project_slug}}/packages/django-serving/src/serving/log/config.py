"""The configuration of the log that comes with this package."""

import json
from pathlib import Path
from typing import Any

# Granian takes it as GRANIAN_LOG_CONFIG.
CONFIGURATION = Path(__file__).with_name("logging.json")


def logging_config(file: str | Path = CONFIGURATION) -> dict[str, Any]:
    """A file's configuration, for Django's LOGGING; each call gives a dict of its own."""
    config: dict[str, Any] = json.loads(Path(file).read_bytes())
    return config
