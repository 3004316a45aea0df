from django.apps import AppConfig
from django.core.checks import register


class LoginLimitsConfig(AppConfig):
    name = "serving_tools.login_limits"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Registers the check, which needs the model."""
        from serving_tools.login_limits.checks import check_transactions

        register(check_transactions)
