"""The settings of a test run, the same on every machine: no .env is read."""

import os

os.environ.update(
    DEBUG="false", LIFESPAN="required", SECRET_KEY="for-tests-only-" + "0123456789" * 5
)

from config.settings import *

# A file and not memory: the threads of one test share it, and each can close its connection.
DATABASES["default"]["TEST"] = {"NAME": BASE_DIR / "test.sqlite3"}

# Tests ask over http, and without `collectstatic`.
SECURE_SSL_REDIRECT = False
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # fast, and only here
