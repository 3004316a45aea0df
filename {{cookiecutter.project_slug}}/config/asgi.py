"""The ASGI application that Granian serves: `make run`, or `python -m serving config.asgi:application`."""

import os
from pathlib import Path

from serving.application import get_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

application = get_application(log_config=Path(__file__).with_name("logging.json"))
