"""Settings, read from the environment: .env.example and config/granian.env describe the variables.

A value that is missing or wrong stops the start, with all such values listed at once.
https://docs.djangoproject.com/en/6.1/ref/settings/
"""

from functools import partial
from pathlib import Path

from django.utils.csp import CSP
from environs import validate
from serving.rules import check_prefix, check_proxy
from serving_tools.environment import Environment, check_address, check_origin, check_path
from serving_tools.storage_address import storage_settings

{% if cookiecutter.database == "postgres" %}
from data import connections, postgres{{ ", valkey_address" if cookiecutter.cache == "valkey" }}
{% else %}
from data import sqlite{{ ", valkey_address" if cookiecutter.cache == "valkey" }}
{% endif %}
{% if cookiecutter.telemetry != "none" %}
from telemetry import check_endpoint{{ ", check_headers" if cookiecutter.telemetry == "opentelemetry" }}
{% endif %}

BASE_DIR = Path(__file__).resolve().parent.parent
PROJECT_NAME = {{ cookiecutter.project_name | quoted }}  # fmt: skip

env = Environment()  # collects the problems, which the end of this file reports

# Security: closed unless a variable opens it

DEBUG = env.bool("DEBUG", False)
if DEBUG:
    SECRET_KEY = env.str("SECRET_KEY", "insecure-and-for-debugging-only")
else:
    SECRET_KEY = env.str("SECRET_KEY", validate=validate.Length(min=50))
DOMAIN_NAMES = [
    "{{ cookiecutter.domain_name }}",
]
ORIGINS = [f"https://{name}" for name in DOMAIN_NAMES]
ALLOWED_HOSTS = env.items("ALLOWED_HOSTS", DOMAIN_NAMES, least=1)
CSRF_TRUSTED_ORIGINS = env.items("CSRF_TRUSTED_ORIGINS", ORIGINS, check=check_origin)
TRUSTED_PROXIES = env.items("TRUSTED_PROXIES", [], check=check_proxy)

YEAR = 365 * 24 * 60 * 60
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", not DEBUG)
SECURE_SSL_HOST = env.str("SECURE_SSL_HOST", None)
SECURE_HSTS_SECONDS = env.integer("SECURE_HSTS_SECONDS", 0 if DEBUG else YEAR, least=0)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env.bool("SECURE_COOKIES", not DEBUG)
SECURE_CSP: dict[str, list[str]] = {
    "default-src": [CSP.SELF],
    "script-src": [CSP.SELF, CSP.NONCE],
    "style-src": [CSP.SELF, CSP.NONCE],
    "base-uri": [CSP.SELF],
    "form-action": [CSP.SELF],
    "frame-ancestors": [CSP.NONE],
}

# HSTS for subdomains and for browsers' preload lists are promises about hosts beyond this project.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

# Below which path of its host the site lies; cookies are for that path alone

URL_PATH_PREFIX = env.checked("GRANIAN_URL_PATH_PREFIX", "", check_prefix)
FORCE_SCRIPT_NAME = URL_PATH_PREFIX or None
SESSION_COOKIE_PATH = CSRF_COOKIE_PATH = LANGUAGE_COOKIE_PATH = URL_PATH_PREFIX or "/"

# Applications

INSTALLED_APPS = [
{% if cookiecutter.telemetry != "none" %}
    "telemetry",  # first, so that it sees what the others open and close
{% endif %}
    "home",
    "accounts",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "data",
{% if cookiecutter.tasks == "database" %}
    "django_ox",
    "serving.tasks",
{% endif %}
    "serving",  # before staticfiles: this `runserver` is used
    "serving_tools",
    "serving_tools.login_limits",
    "django.contrib.staticfiles",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "serving_tools.login_limits.middleware.LoginLimitMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "config.urls"

# With DEBUG, templates are read again for each page, so that an edit shows without a restart. Since 4.1
# Django caches them with DEBUG too, and only runserver notices edits:
# https://code.djangoproject.com/ticket/25791
template_loaders = [
    "django.template.loaders.filesystem.Loader",
    "django.template.loaders.app_directories.Loader",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "OPTIONS": {
            "loaders": template_loaders
            if DEBUG
            else [("django.template.loaders.cached.Loader", template_loaders)],
            "context_processors": [
                "django.template.context_processors.csp",
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# Data. An address may hold a password, so it is no setting: Django's debug page would show it.

{% if cookiecutter.database == "postgres" %}
DATABASE_STATEMENT_TIMEOUT = env.number(
    "DATABASE_STATEMENT_TIMEOUT", 30, least=0, most=postgres.TIMEOUT_MAX
)
DATABASE_POOLER = env.choice("DATABASE_POOLER", "none", "session", "transaction")
database = partial(
    postgres.database_settings,
    application="{{ cookiecutter.project_slug }}",
    statement_timeout=DATABASE_STATEMENT_TIMEOUT,
    pooler=DATABASE_POOLER,
    password=env.str("DATABASE_PASSWORD", ""),
)
DATABASES = {"default": env.parsed("DATABASE_URL", database) or {}}
{% else %}
database = partial(sqlite.database_settings, folder=BASE_DIR)
DATABASES = {"default": env.parsed("DATABASE_URL", database, "sqlite:///db.sqlite3") or {}}
{% endif %}

{% if cookiecutter.cache == "valkey" %}
CACHES = {
    "default": {
        "BACKEND": "data.valkey.ValkeyCache",
        "LOCATION": env.parsed("CACHE_URL", valkey_address.location) or "",
        "KEY_PREFIX": "{{ cookiecutter.project_slug }}",
    }
}
SESSION_ENGINE = "django.contrib.sessions.backends.cached_db"

{% endif %}
# The door. Below which path the admin is; how many logins may fail, of a user from one address, from the
# address, and of the user from addresses that are new to him, in so many seconds.

ADMIN_PATH = env.checked("ADMIN_PATH", "admin", check_path)
LOGIN_LIMIT = env.integer("LOGIN_LIMIT", 5)
LOGIN_LIMIT_ADDRESS = env.integer("LOGIN_LIMIT_ADDRESS", 50)
LOGIN_LIMIT_USER = env.integer("LOGIN_LIMIT_USER", 50)
LOGIN_LIMIT_SECONDS = env.integer("LOGIN_LIMIT_SECONDS", 15 * 60)

{% if cookiecutter.tasks == "database" %}
# Background tasks, which `make worker` runs; options: https://oxpull.com/django-ox/configuration/

TASKS = {
    "default": {
        "BACKEND": "serving.tasks.backend.TaskBackend",
        "OPTIONS": {
            "TASK_TIMEOUT": env.number("TASK_TIMEOUT", 300),
            "SCHEDULES": {"prune": {"task": "serving.tasks.upkeep.prune", "cron": "17 3 * * *"}},
        },
    }
}
WORKER_CONCURRENCY = env.integer("WORKER_CONCURRENCY", 4, most=1000)

{% endif %}
AUTH_USER_MODEL = "accounts.User"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = f"{URL_PATH_PREFIX}/"
AUTHENTICATION_BACKENDS = ["serving_tools.login_limits.backends.LimitedModelBackend"]
PASSWORD_HASHERS = [  # the first for new ones; a password of the second is hashed anew at its login
    "serving_tools.password_hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
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

# Mail. Its server's address may hold a password, so it is no setting either.

MAILERS = env.mailers("EMAIL_URL", debug=DEBUG)
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.checked(
    "DEFAULT_FROM_EMAIL", f"noreply@{DOMAIN_NAMES[0]}", check_address
)
EMAIL_SUBJECT_PREFIX = f"[{PROJECT_NAME}] "
ADMINS = env.items("ADMINS", [], check=check_address)

# Static files: hashed names, compressed by `collectstatic`, served in front of Django

STATIC_URL = f"{URL_PATH_PREFIX}/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = BASE_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "serving.media.storage.FileStorage"},
    "staticfiles": {"BACKEND": "serving.http.static_storage.StaticFilesStorage"},
}

# Uploads: in a folder, or in an object store whose pictures a page may show; docs/uploads.md of the template

MEDIA_URL = f"{URL_PATH_PREFIX}/media/"
MEDIA_ROOT = BASE_DIR / (env.str("MEDIA_ROOT", "") or "media")
MEDIA_ACCEL_PREFIX = env.checked("MEDIA_ACCEL_PREFIX", "", check_prefix)
FILE_UPLOAD_DIRECTORY_PERMISSIONS = 0o755  # a proxy reads them, whatever the umask
if store := env.parsed("STORAGE_URL", storage_settings, ""):
    STORAGES["default"] = store.settings
    SECURE_CSP |= {"img-src": [CSP.SELF, store.origin], "media-src": [CSP.SELF, store.origin]}

# Serving; README.md of packages/django-serving describes these settings

LIFESPAN = env.choice("LIFESPAN", "required", "optional", "disabled")
LIFESPAN_STARTUP_TIMEOUT = env.number("LIFESPAN_STARTUP_TIMEOUT", 30)
# Together less than GRANIAN_WORKERS_KILL_TIMEOUT: see config/granian.env.
DRAIN_TIMEOUT = env.number("DRAIN_TIMEOUT", 15)
LIFESPAN_SHUTDOWN_TIMEOUT = env.number("LIFESPAN_SHUTDOWN_TIMEOUT", 5)
SEND_TIMEOUT = env.number("SEND_TIMEOUT", 60)

MAX_BODY_SIZE = env.integer("MAX_BODY_SIZE", 100_000_000, most=10**15)
# At least twice as much, since a form with files is on disk twice: as it came, and as a view's files.
BODY_SPACE = env.integer("BODY_SPACE", 10 * MAX_BODY_SIZE, least=2 * MAX_BODY_SIZE, most=10**16)
BODY_TIMEOUT = env.number("BODY_TIMEOUT", 30)
BODY_MIN_RATE = env.number("BODY_MIN_RATE", 1000, least=0)

# Threads of a worker that sync code may run in, and so its database connections
WORKERS = env.integer("GRANIAN_WORKERS", 1, most=1000)
{% if cookiecutter.database == "postgres" %}
WEB_REPLICAS = env.integer("WEB_REPLICAS", 1)
DATABASE_MAX_CONNECTIONS = env.integer("DATABASE_MAX_CONNECTIONS", 100)
{% if cookiecutter.tasks == "database" %}
WORKER_REPLICAS = env.integer("WORKER_REPLICAS", 1, least=0)
TASK_CONNECTIONS = connections.of_tasks(WORKER_REPLICAS, WORKER_CONCURRENCY)
free = DATABASE_MAX_CONNECTIONS - TASK_CONNECTIONS
threads = connections.threads(free, servers=WEB_REPLICAS, workers=WORKERS)
{% else %}
threads = connections.threads(DATABASE_MAX_CONNECTIONS, servers=WEB_REPLICAS, workers=WORKERS)
{% endif %}
SERVING_THREADS = env.integer("SERVING_THREADS", threads, most=10_000)
{% else %}
SERVING_THREADS = env.integer("SERVING_THREADS", 64, most=10_000)
{% endif %}

# Granian's own metrics at this port, each worker's at one of those behind it
METRICS_ENABLED = env.bool("GRANIAN_METRICS_ENABLED", False)
METRICS_ADDRESS = env.str("GRANIAN_METRICS_ADDRESS", "127.0.0.1")
METRICS_PORT = env.integer("GRANIAN_METRICS_PORT", 9090, most=65535 - WORKERS)

{% if cookiecutter.telemetry != "none" %}
# What events and traces say of this installation. Their address may hold a key, so it is no setting.
RELEASE = env.str("RELEASE", "")
ENVIRONMENT = env.str("ENVIRONMENT", "development" if DEBUG else "production")
{% if cookiecutter.telemetry == "sentry" %}
SENTRY_TRACES_SAMPLE_RATE = env.number("SENTRY_TRACES_SAMPLE_RATE", 0, least=0, most=1)
env.checked("SENTRY_DSN", "", check_endpoint)
{% else %}
env.checked("OTEL_EXPORTER_OTLP_ENDPOINT", "", check_endpoint)
env.checked("OTEL_EXPORTER_OTLP_HEADERS", "", check_headers)
env.checked("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "", check_headers)
{% endif %}

{% endif %}
LOGGING = env.logging(BASE_DIR / "config" / "logging.json", path_prefix=URL_PATH_PREFIX)

# The end: nothing starts with a value that is missing or wrong; no message shows the value of these

env.refuse_problems(
    secret={
        "SECRET_KEY": "`make secret` prints one.",
        "DATABASE_URL": "For example {{ cookiecutter.__database_example }}",
        "DATABASE_PASSWORD": "",
        "CACHE_URL": "For example redis://host:6379/0",
        "EMAIL_URL": "For example smtp+starttls://user:password@host:587",
        "STORAGE_URL": "For example s3://key:secret@eu-central-1/bucket",
{% if cookiecutter.telemetry == "sentry" %}
        "SENTRY_DSN": "",
{% elif cookiecutter.telemetry == "opentelemetry" %}
        "OTEL_EXPORTER_OTLP_ENDPOINT": "",
        "OTEL_EXPORTER_OTLP_HEADERS": "",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "",
{% endif %}
    },
    env_file=BASE_DIR / ".env",
)
