from django.apps import AppConfig


class LoginLimitsConfig(AppConfig):
    name = "serving_tools.login_limits"
    default_auto_field = "django.db.models.BigAutoField"
