"""The project's own settings, with views to be measured."""

import os

from config.settings import *

INSTALLED_APPS += ["bench"]
ROOT_URLCONF = "bench.urls"
if (
    "BENCH_WHITENOISE" in os.environ
):  # what serves static files where this project's own layer is not
    MIDDLEWARE = [MIDDLEWARE[0], "whitenoise.middleware.WhiteNoiseMiddleware", *MIDDLEWARE[1:]]
SCHED_BATCH = "BENCH_SCHED_OTHER" not in os.environ  # for benchmarks.scheduling
