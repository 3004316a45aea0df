"""The order to stop: who learns of it, and what is still open then."""

from serving.stopping.drain import Drain
from serving.stopping.signals import stopping

__all__ = ["Drain", "stopping"]
