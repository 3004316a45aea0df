"""Addresses. /livez and /readyz are answered before Django: see `serving.probes`."""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("home.urls")),
    path(f"{settings.ADMIN_PATH}/", admin.site.urls),
]
