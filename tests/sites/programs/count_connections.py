"""Prints the connections that are counted for background tasks, and a worker's threads."""

from importlib import import_module

settings = vars(import_module("config.settings"))
print(settings["TASK_CONNECTIONS"], settings["SERVING_THREADS"])
