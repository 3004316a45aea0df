from django.apps import AppConfig
from django.core.checks import register
from django.http import HttpRequest

from serving.checks import check_settings
from serving.http.request import add_attributes


class ServingConfig(AppConfig):
    name = "serving"

    def ready(self) -> None:
        """Gives every request `state` and `request_id`, whatever makes it, and registers the checks of settings."""
        add_attributes(HttpRequest)
        register(check_settings)
