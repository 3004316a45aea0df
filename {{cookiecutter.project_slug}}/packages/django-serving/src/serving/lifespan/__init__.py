"""The ASGI lifespan protocol, and what the apps open by it."""

from serving.lifespan.protocol import Lifespan
from serving.lifespan.resources import LifespanError, Resources

__all__ = ["Lifespan", "LifespanError", "Resources"]
