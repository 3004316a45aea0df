"""No models: but a module of them may import tasks, while Django still loads the apps."""

from errands import tasks

__all__ = ["tasks"]
