"""The project's own settings, with one view to be measured."""

from config.settings import *

ROOT_URLCONF = "hello.urls"
