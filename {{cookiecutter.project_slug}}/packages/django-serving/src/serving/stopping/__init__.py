"""The order to stop: who learns of it, and what is still open then.

Imported before Django is, so that a signal that comes while Django is imported is not lost.
"""

from serving.stopping.drain import Drain
from serving.stopping.signals import stopping

__all__ = ["Drain", "stopping"]
