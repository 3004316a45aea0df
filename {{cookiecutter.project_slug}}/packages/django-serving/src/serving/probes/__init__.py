"""The probes, and what to do where one fails."""

from serving.probes.probes import Probes

__all__ = ["Probes"]
