from django.apps import AppConfig
from django.conf import settings
from django.core.checks import register
from django.db.models.signals import post_save


class LoginLimitsConfig(AppConfig):
    name = "serving_tools.login_limits"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Registers the checks and what follows a new password: both need the model."""
        from serving_tools.login_limits.backends import follow_new_password
        from serving_tools.login_limits.checks import check_limits, check_transactions

        register(check_limits)
        register(check_transactions)
        post_save.connect(follow_new_password, settings.AUTH_USER_MODEL, dispatch_uid=self.name)
