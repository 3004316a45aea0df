{% if cookiecutter.telemetry == "sentry" %}
"""Errors and traces, sent to what SENTRY_DSN names: Sentry, GlitchTip, Bugsink.

https://docs.sentry.io/platforms/python/
"""
{% else %}
"""Traces, sent to what OTEL_EXPORTER_OTLP_ENDPOINT names: a collector that takes OTLP over HTTP.

https://opentelemetry.io/docs/languages/python/
"""
{% endif %}

from urllib.parse import urlsplit


def check_endpoint(text: str) -> None:
    """Raises ValueError unless it is empty, or can be sent to; the text shows nothing of the address."""
    if not text:
        return
    try:
        parts = urlsplit(text)
        whole = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        whole = False
    if not whole:
        raise ValueError("Not an address; it begins with http:// or https:// and names a host.")
{% if cookiecutter.telemetry == "sentry" %}
    if not (parts.username and parts.path.rpartition("/")[2].isdigit()):
        raise ValueError("Not a DSN, which is https://KEY@HOST/PROJECT; the tracker shows it.")
{% endif %}
