"""The ASGI lifespan protocol, and what the apps open by it."""

from serving.lifespan.protocol import Lifespan
from serving.lifespan.resources import LifespanError, Resources
from serving.lifespan.state import Origin, Started, current_state, origin_of

__all__ = [
    "Lifespan",
    "LifespanError",
    "Origin",
    "Resources",
    "Started",
    "current_state",
    "origin_of",
]
