from django.apps import AppConfig
from django.contrib.auth.signals import user_login_failed


class AccountsConfig(AppConfig):
    name = "accounts"

    def ready(self) -> None:
        """Called once, when every app is loaded."""
        from accounts.logins import log_failed_login

        user_login_failed.connect(log_failed_login, dispatch_uid="accounts.logins")
