{% if cookiecutter.telemetry == "sentry" %}
"""Errors and traces, sent to what SENTRY_DSN names: Sentry, GlitchTip, Bugsink.

https://docs.sentry.io/platforms/python/
"""
{% else %}
"""Traces, sent to what OTEL_EXPORTER_OTLP_ENDPOINT names: a collector that takes OTLP over HTTP.

https://opentelemetry.io/docs/languages/python/
"""
{% endif %}

from urllib.parse import {{ "unquote, " if cookiecutter.telemetry != "sentry" }}urlsplit


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
{% else %}


def check_headers(text: str) -> None:
    """Raises ValueError unless it is NAME=VALUE,... as the exporter reads it; the text shows nothing of them.

    An item that is not, the exporter logs, and goes on without it. It takes spaces, and then decodes nothing.
    https://opentelemetry.io/docs/specs/otel/protocol/exporter/#specifying-headers-via-environment-variables
    """
    for number, item in enumerate(text.split(","), 1):
        name, sign, value = (part.strip(" \t") for part in item.partition("="))
        sent = name + unquote(value)
        sendable = sent.isascii() and sent.isprintable()
        if not sign and name:
            wrong = "has no ="
        elif sign and (not name or set(name) & set('"(),/:;<>?@[\\]{} ')):
            wrong = "has no header's name before its ="
        elif set(value) & set('";\\') or {" ", "%"} <= set(value) or not sendable:
            wrong = "has a character that is to be percent-encoded, or that no header can have"
        else:
            continue
        raise ValueError(
            f"Item {number} {wrong}: write NAME=VALUE,... without quotes, with %20 for a space in a value"
            " and %2C for a comma."
        )
{% endif %}
