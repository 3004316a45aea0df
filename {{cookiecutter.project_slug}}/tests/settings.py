"""The settings of a test run, the same on every machine: {{ "of .env, only the database's address is read" if cookiecutter.database == "postgres" else "no .env is read" }}."""

import os
{% if cookiecutter.database == "postgres" %}
from pathlib import Path

from serving_tools.env_file import read

if not (os.environ.get("DATABASE_URL") or os.environ.get("DATABASE_URL_FILE")):
    file = Path(__file__).parent.parent / ".env"
    local = read(file, os.environ) if file.exists() else {}
    os.environ["DATABASE_URL"] = (
        local.get("DATABASE_URL") or "{{ cookiecutter.__database_example }}"
    )
{% endif %}

os.environ.pop("CACHE_URL_FILE", None)
os.environ.pop("SECRET_KEY_FILE", None)
os.environ.pop("STORAGE_URL_FILE", None)
os.environ.update(
    ADMINS="",
    DEBUG="false",
    EMAIL_URL="",
    EMAIL_URL_FILE="",
{% if cookiecutter.cache == "valkey" %}
    CACHE_URL="redis://127.0.0.1:6379/0",
{% endif %}
    LIFESPAN="required",
{% if cookiecutter.telemetry == "sentry" %}
    SENTRY_DSN="",
    SENTRY_DSN_FILE="",
{% elif cookiecutter.telemetry == "opentelemetry" %}
    OTEL_EXPORTER_OTLP_ENDPOINT="",
    OTEL_EXPORTER_OTLP_ENDPOINT_FILE="",
{% endif %}
    SECRET_KEY="for-tests-only-" + "0123456789" * 5,
    STORAGE_URL="",
)

from config.settings import *

{% if cookiecutter.database == "sqlite" %}
# A file and not memory: the threads of one test share it, and each can close its connection.
DATABASES["default"]["TEST"] = {"NAME": BASE_DIR / "test.sqlite3"}

{% endif %}
{% if cookiecutter.cache == "valkey" %}
# No test sees what another left, nor needs a server.
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

{% endif %}
{% if cookiecutter.tasks == "database" %}
# A task runs at once, where it is enqueued: docs/tasks.md of the template says how a test waits for a worker.
TASKS = {"default": {"BACKEND": "django_ox.testing.ImmediateBackend"}}
MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}

{% endif %}
# Tests ask over http, and without `collectstatic`.
SECURE_SSL_REDIRECT = False
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # fast, and only here
