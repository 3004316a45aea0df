"""Configures the log as a bare project does; prints the root's level and what Django's checks find."""

import logging.config

import django
from django.conf import settings
from serving.log.config import logging_config

settings.configure(INSTALLED_APPS=["serving"], LOGGING=logging_config())
django.setup()

from serving.checks import check_settings  # noqa: E402

print(logging.getLevelName(logging.root.level), [each.id for each in check_settings()])
