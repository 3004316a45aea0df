"""The settings of tests/serving/http/garbage.py."""

from pathlib import Path

from config.settings import *  # noqa: F403

ROOT_URLCONF = "tests.sites.garbage"
ALLOWED_HOSTS = ["localhost"]
MIDDLEWARE = [*MIDDLEWARE, "tests.sites.garbage.breaks"]  # noqa: F405
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Where a site has none of its own for an error, Django's search for it leaves garbage behind.
TEMPLATES[0]["DIRS"] = [str(Path(__file__).with_name("templates"))]  # noqa: F405
