"""The project's own settings, with views to be measured."""

from config.settings import *

INSTALLED_APPS += ["bench"]
ROOT_URLCONF = "bench.urls"
ALLOWED_HOSTS = ["*"]
SECURE_SSL_REDIRECT = False
DATABASES["default"]["CONN_MAX_AGE"] = 60
