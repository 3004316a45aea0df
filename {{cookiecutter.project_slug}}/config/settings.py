"""Settings, read from the environment: .env.example and config/granian.env describe the variables.

A value that is missing or wrong stops the start, with all such values listed at once.
https://docs.djangoproject.com/en/6.1/ref/settings/
"""

import json
from functools import partial
from pathlib import Path
from typing import Any

from django.utils.csp import CSP
from environs import validate
from serving.http.proxy import check_prefix, check_proxy
from serving.log.access import check_format
from serving.log.levels import LEVELS, parse_levels
from serving_tools.environment import Environment, each, valid

{% if cookiecutter.database == "postgres" %}
from data import connections, postgres{{ ", valkey" if cookiecutter.cache == "valkey" }}
{% else %}
from data import sqlite{{ ", valkey" if cookiecutter.cache == "valkey" }}
{% endif %}

BASE_DIR = Path(__file__).resolve().parent.parent
PROJECT_NAME = {{ cookiecutter.project_name | quoted }}  # fmt: skip

env = Environment()  # collects the problems, for the end of this file to report

# Security: closed unless a variable opens it

DEBUG = env.bool("DEBUG", False)
if DEBUG:
    SECRET_KEY = env.str("SECRET_KEY", "insecure-and-for-debugging-only")
else:
    SECRET_KEY = env.str("SECRET_KEY", validate=validate.Length(min=50))
DOMAIN_NAMES = [
    "{{ cookiecutter.domain_name }}",
]
ALLOWED_HOSTS = env.list(
    "ALLOWED_HOSTS", DOMAIN_NAMES, subcast=str.strip, validate=validate.Length(min=1)
)
CSRF_TRUSTED_ORIGINS = env.list(
    "CSRF_TRUSTED_ORIGINS",
    [f"https://{name}" for name in DOMAIN_NAMES],
    subcast=str.strip,
    validate=each(validate.Regexp(r"https?://[^/]+$", error="{input!r} is not scheme://host.")),
)
TRUSTED_PROXIES = env.list(
    "TRUSTED_PROXIES", [], subcast=str.strip, validate=each(valid(check_proxy))
)

SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", not DEBUG)
SECURE_SSL_HOST = env.str("SECURE_SSL_HOST", None)
SECURE_HSTS_SECONDS = env.int(
    "SECURE_HSTS_SECONDS", 0 if DEBUG else 365 * 24 * 60 * 60, validate=validate.Range(min=0)
)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env.bool("SECURE_COOKIES", not DEBUG)
SECURE_CSP = {
    "default-src": [CSP.SELF],
    "base-uri": [CSP.SELF],
    "form-action": [CSP.SELF],
    "frame-ancestors": [CSP.NONE],
}

# HSTS for subdomains and for browsers' preload lists are promises about hosts beyond this project.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

# Below which path of its host the site lies; cookies are for that path alone

URL_PATH_PREFIX = env.str("GRANIAN_URL_PATH_PREFIX", "", validate=valid(check_prefix)) or ""
FORCE_SCRIPT_NAME = URL_PATH_PREFIX or None
SESSION_COOKIE_PATH = CSRF_COOKIE_PATH = LANGUAGE_COOKIE_PATH = URL_PATH_PREFIX or "/"

# Applications

INSTALLED_APPS = [
    "home",
    "accounts",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "data",
    "serving",  # before staticfiles, whose `runserver` says less
    "django.contrib.staticfiles",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "config.urls"

# With DEBUG they are read anew for each page, so that an edit shows without a restart.
template_loaders = [
    "django.template.loaders.filesystem.Loader",
    "django.template.loaders.app_directories.Loader",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": {
            "loaders": template_loaders
            if DEBUG
            else [("django.template.loaders.cached.Loader", template_loaders)],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# Data: an address may hold a password, which as a setting of its own Django's debug page would show

{% if cookiecutter.database == "postgres" %}
DATABASE_STATEMENT_TIMEOUT = env.float(
    "DATABASE_STATEMENT_TIMEOUT", 30.0, validate=validate.Range(min=0)
)
DATABASE_POOLER = env.str(
    "DATABASE_POOLER", "none", validate=validate.OneOf(["none", "session", "transaction"])
)
database = partial(
    postgres.database,
    application="{{ cookiecutter.project_slug }}",
    statement_timeout=DATABASE_STATEMENT_TIMEOUT or 0,
    pooler=DATABASE_POOLER,
)
database_url = env.str("DATABASE_URL", validate=database)
{% else %}
database = partial(sqlite.database, folder=BASE_DIR)
database_url = env.str("DATABASE_URL", "sqlite:///db.sqlite3", validate=database)
{% endif %}
DATABASES = {"default": database(database_url) if database_url else {}}
{% if cookiecutter.database == "postgres" %}
# So an address need hold no secret, and one file does for the database's server and for this one.
database_password = env.str("DATABASE_PASSWORD", "")
if database_password and not DATABASES["default"].get("PASSWORD"):
    DATABASES["default"]["PASSWORD"] = database_password
{% endif %}

{% if cookiecutter.cache == "valkey" %}
CACHE_URL = env.str("CACHE_URL", validate=valkey.location)
CACHES = {
    "default": {
        "BACKEND": "data.valkey.ValkeyCache",
        "LOCATION": valkey.location(CACHE_URL) if CACHE_URL else "",
        "KEY_PREFIX": "{{ cookiecutter.project_slug }}",
    }
}
SESSION_ENGINE = "django.contrib.sessions.backends.cached_db"

{% endif %}
AUTH_USER_MODEL = "accounts.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

# Language and time

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True

# Static files: hashed names, compressed by `collectstatic`, served in front of Django

STATIC_URL = f"{URL_PATH_PREFIX}/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "servestatic.storage.CompressedManifestStaticFilesStorage"},
}

# Serving, in seconds: what the apps' lifespans may take, what open responses may after the order to
# stop (with the lifespans' end less than GRANIAN_WORKERS_KILL_TIMEOUT; see config/granian.env), and how
# long a client may make one part of a stream wait.

LIFESPAN = env.str(
    "LIFESPAN", "required", validate=validate.OneOf(["required", "optional", "disabled"])
)
POSITIVE = validate.Range(min=0, min_inclusive=False)
LIFESPAN_STARTUP_TIMEOUT = env.float("LIFESPAN_STARTUP_TIMEOUT", 30.0, validate=POSITIVE)
LIFESPAN_SHUTDOWN_TIMEOUT = env.float("LIFESPAN_SHUTDOWN_TIMEOUT", 5.0, validate=POSITIVE)
DRAIN_TIMEOUT = env.float("DRAIN_TIMEOUT", 15.0, validate=POSITIVE)
SEND_TIMEOUT = env.float("SEND_TIMEOUT", 60.0, validate=POSITIVE)

# Bodies of requests: bytes of the largest, and of the disk that those open in a worker may take together;
# seconds to wait for the next bytes, and how many a second they must be. See serving/body.py.

MAX_BODY_SIZE = env.int("MAX_BODY_SIZE", 100_000_000, validate=validate.Range(min=1))
BODY_SPACE = env.int(
    "BODY_SPACE",
    10 * (MAX_BODY_SIZE or 0),
    # A form with files is on disk twice: as it came, and as the files that a view gets.
    validate=validate.Range(min=2 * (MAX_BODY_SIZE or 0)),
)
BODY_TIMEOUT = env.float("BODY_TIMEOUT", 30.0, validate=POSITIVE)
BODY_MIN_RATE = env.float("BODY_MIN_RATE", 1000.0, validate=validate.Range(min=0))

# Threads of a worker that sync code may run in, and so its database connections

{% if cookiecutter.database == "postgres" %}
# As many as the connections that the database allows are enough for, on all servers together.
DATABASE_MAX_CONNECTIONS = env.int("DATABASE_MAX_CONNECTIONS", 100, validate=validate.Range(min=1))
WEB_REPLICAS = env.int("WEB_REPLICAS", 1, validate=validate.Range(min=1))
WORKERS = env.int("GRANIAN_WORKERS", 1, validate=validate.Range(min=1))
SERVING_THREADS = env.int(
    "SERVING_THREADS",
    connections.threads(
        DATABASE_MAX_CONNECTIONS or 1, servers=WEB_REPLICAS or 1, workers=WORKERS or 1
    ),
    validate=validate.Range(min=1),
)
{% else %}
WORKERS = env.int("GRANIAN_WORKERS", 1, validate=validate.Range(min=1))
SERVING_THREADS = env.int("SERVING_THREADS", 64, validate=validate.Range(min=1))
{% endif %}
{% if cookiecutter.database == "postgres" or cookiecutter.cache == "valkey" %}

# What a server asks once when it starts, to log what is wrong with its services

START_REPORTS = [
{% if cookiecutter.database == "postgres" %}
    "data.connections.report_start",
{% endif %}
{% if cookiecutter.cache == "valkey" %}
    "data.valkey.report_start",
{% endif %}
]
{% endif %}

# Logging: the file that Granian reads too, at the level that Granian has

LOG_LEVEL = env.str("GRANIAN_LOG_LEVEL", "info", validate=validate.OneOf(LEVELS))
LOG_FORMAT = env.str("LOG_FORMAT", "console", validate=validate.OneOf(["json", "console"]))
LOGGING: dict[str, Any] = json.loads((BASE_DIR / "config" / "logging.json").read_bytes())


levels = partial(parse_levels, known=LOGGING["loggers"])
LOG_LEVELS = env.str("LOG_LEVELS", "", validate=valid(levels))
for logger, level in levels(LOG_LEVELS or "").items():
    LOGGING["loggers"].setdefault(logger, {})["level"] = level
env.str("GRANIAN_LOG_ACCESS_FMT", "", validate=valid(check_format))
LOGGING["filters"]["access"].update(
    probes=env.bool("ACCESS_LOG_PROBES", False),
    query=env.bool("ACCESS_LOG_QUERY", True),
    prefix=URL_PATH_PREFIX,
)

# Metrics: Granian's own at this port, each worker's at one of those behind it

METRICS_ENABLED = env.bool("GRANIAN_METRICS_ENABLED", False)
METRICS_ADDRESS = env.str("GRANIAN_METRICS_ADDRESS", "127.0.0.1")
METRICS_PORT = env.int(
    "GRANIAN_METRICS_PORT", 9090, validate=validate.Range(1, 65535 - (WORKERS or 1))
)

# The end: nothing starts with a value that is missing or wrong, and no message shows these

env.refuse_problems(
    secret={
        "SECRET_KEY": "`make secret` prints one.",
        "DATABASE_URL": "For example {{ cookiecutter.__database_example }}",
        "DATABASE_PASSWORD": "",
        "CACHE_URL": "For example redis://host:6379/0",
    },
    env_file=BASE_DIR / ".env",
)
