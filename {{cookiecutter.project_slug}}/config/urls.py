"""Addresses. /livez and /readyz are answered before Django: see `serving.probes`."""

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.views import PasswordResetView
from django.urls import include, path
from serving.media.views import serve_media

urlpatterns = [
    path("accounts/", include("django.contrib.auth.urls")),
    # By this name, the admin's login page links to it.
    path("accounts/password_reset/", PasswordResetView.as_view(), name="admin_password_reset"),
    path("", include("home.urls")),
    path(f"{settings.ADMIN_PATH}/", admin.site.urls),
    path("media/<path:name>", serve_media),
]
