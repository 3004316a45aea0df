"""Refuses a set of answers: every problem at once. The rules stand in template_rules.py."""

import json
import sys

PROBLEMS = json.loads(r"""{{ cookiecutter | problems | tojson }}""")

if __name__ == "__main__" and PROBLEMS:
    sys.exit(
        "\n".join(["These answers cannot make a project:", *(f"  {line}" for line in PROBLEMS)])
    )
