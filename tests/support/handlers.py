"""A project that is served by Django's own handler, to compare ours with."""

from pathlib import Path


def with_djangos_handler(project: Path) -> None:
    """Changes the one line that names the handler."""
    path = project / "packages" / "django-serving" / "src" / "serving" / "application.py"
    text, line = path.read_text(), "from serving.http.handler import DjangoHandler\n"
    assert line in text
    path.write_text(
        text.replace(line, line.replace("Django", "Plain")[:-1] + " as DjangoHandler\n")
    )
