from django.apps import AppConfig

from serving.conf import conf


class TasksConfig(AppConfig):
    name = "serving.tasks"
    label = "serving_tasks"

    def ready(self) -> None:
        """Adds the queue's figures to those of each worker of the server."""
        if conf.METRICS_ENABLED():
            from serving.tasks.metrics import register

            register()
