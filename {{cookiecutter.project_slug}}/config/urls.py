"""Addresses. /livez and /readyz are answered before Django: see `serving.probes`."""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path
from serving.media.views import serve_media
from serving_tools.login_limits.views import PasswordResetView
{% if cookiecutter.tasks == "database" %}

from accounts.forms import PasswordResetForm

reset = PasswordResetView.as_view(form_class=PasswordResetForm)
{% endif %}

urlpatterns = [
    # Before Django's own, which is the same address; by this name, the admin's login page links to it.
    path("accounts/password_reset/", {{ "reset" if cookiecutter.tasks == "database" else "PasswordResetView.as_view()" }}, name="admin_password_reset"),
    path("accounts/", include("django.contrib.auth.urls")),
    path(f"{settings.ADMIN_PATH}/", admin.site.urls),
    path("", include("home.urls")),
    path("media/<path:name>", serve_media),
]
