"""Runs a tool without the project's environment: `python -I packages/serving-tools/src env_file .env -- env`."""

import runpy
import sys

runpy.run_module(f"serving_tools.{sys.argv.pop(1)}", run_name="__main__", alter_sys=True)
