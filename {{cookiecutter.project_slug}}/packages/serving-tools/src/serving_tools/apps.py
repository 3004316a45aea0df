from django.apps import AppConfig
from django.core.checks import Tags, register

from serving_tools.checks import check_mail, check_own_apps


class ServingToolsConfig(AppConfig):
    name = "serving_tools"

    def ready(self) -> None:
        """Registers the checks of the project's own apps, and of mail."""
        register(check_own_apps)
        register(check_mail, Tags.mail, deploy=True)
