"""Where a generated project keeps the packages that it brings."""

from pathlib import Path

# Relative to the project's folder.
SERVING = Path("packages", "django-serving", "src", "serving")
TOOLS = Path("packages", "serving-tools", "src")
