"""The project's own settings, with views that read a row; with BENCH=pool, by Django's own pool."""

import os

from config.settings import *

ROOT_URLCONF = "rows.urls"
if os.environ["BENCH"].startswith("pool"):
    DATABASES["default"]["CONN_MAX_AGE"] = 0
    DATABASES["default"]["OPTIONS"]["pool"] = {"min_size": 2, "max_size": 16, "timeout": 10}
