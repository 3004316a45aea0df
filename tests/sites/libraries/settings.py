"""The settings of tests/live/test_libraries.py: the library that LIBRARY names begins as its manual says."""

import os
from importlib import import_module

from config.settings import *  # noqa: F403

ROOT_URLCONF = "tests.sites.libraries.site"
import_module(f"tests.sites.libraries.{os.environ['LIBRARY']}").begin(globals())
