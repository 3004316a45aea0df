"""A project that is served by Django's own handler, to compare ours with."""

from pathlib import Path


def with_djangos_handler(project: Path) -> None:
    """Names Django's handler in the call that the package's README names."""
    path = project / "config" / "asgi.py"
    text, call = path.read_text(), "get_application(log_config="
    assert call in text
    named = 'get_application(handler="serving.http.handler.PlainHandler", log_config='
    path.write_text(text.replace(call, named))
