"""The ASGI lifespan protocol, and what the apps open by it."""

from serving.lifespan.protocol import Lifespan
from serving.lifespan.resources import LifespanError, Resources
from serving.lifespan.state import current_state

__all__ = ["Lifespan", "LifespanError", "Resources", "current_state"]
