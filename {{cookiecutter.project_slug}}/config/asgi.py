"""The ASGI application that Granian serves: `make run`, or `python -m serving config.asgi:application`."""

import os
from pathlib import Path

from serving.application import get_application
{% if cookiecutter.database == "postgres" or cookiecutter.cache == "valkey" %}

from data.service_reports import report_services
{% endif %}

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

{% if cookiecutter.telemetry == "none" %}
application = get_application(log_config=Path(__file__).with_name("logging.json"))
{% else %}
application = get_application(
    log_config=Path(__file__).with_name("logging.json"),
    handler="telemetry.watching.WatchedHandler",
)
{% endif %}
{% if cookiecutter.database == "postgres" or cookiecutter.cache == "valkey" %}
report_services()
{% endif %}
