from django.apps import AppConfig
from django.core.checks import register

from serving_tools.checks import check_own_apps


class ServingToolsConfig(AppConfig):
    name = "serving_tools"

    def ready(self) -> None:
        """Registers the check of the project's own apps."""
        register(check_own_apps)
