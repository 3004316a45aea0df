"""Serves Django by ASGI: lifespan, request path, stopping, probes and log. README.md has the public names."""

__version__ = "0.1.0"
