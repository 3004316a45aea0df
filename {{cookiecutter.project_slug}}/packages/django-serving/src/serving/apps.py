from django.apps import AppConfig
from django.http import HttpRequest

from serving.http.request import complete


class ServingConfig(AppConfig):
    name = "serving"

    def ready(self) -> None:
        """Gives every request `state` and `request_id`, whatever makes it."""
        complete(HttpRequest)
