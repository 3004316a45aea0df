"""The log: one handler and two formats for Granian, Django and the apps. Loaded without Django."""
