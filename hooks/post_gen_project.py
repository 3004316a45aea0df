"""Says what to do next."""

import json
import sys

ANSWERS = json.loads(r"""{{ cookiecutter | tojson }}""")

NEXT = """
Your project is in {project_slug}/. Next:

    cd {project_slug}
    make setup run    # installs, makes .env with a fresh secret, migrates, serves on port 8000

`make` lists the other targets; README.md says what is where.
"""

if __name__ == "__main__":
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8")  # a Windows console may know fewer letters
    print(NEXT.format(**ANSWERS))
