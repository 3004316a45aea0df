"""Addresses. /livez and /readyz are answered before Django: see `serving.probes`."""

from django.contrib import admin
from django.urls import include, path
from serving.media.views import serve_media

urlpatterns = [
    path("", include("home.urls")),
    path("admin/", admin.site.urls),
    path("media/<path:name>", serve_media),
]
