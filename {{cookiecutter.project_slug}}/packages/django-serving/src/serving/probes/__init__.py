"""The probes, and what to do where one fails."""
