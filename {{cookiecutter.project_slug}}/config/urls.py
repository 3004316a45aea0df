"""Addresses. /livez and /readyz are answered before Django: see `serving.probes`."""

from django.contrib import admin
{% if cookiecutter.tasks == "database" %}
from django.contrib.auth.views import PasswordResetView
{% endif %}
from django.urls import include, path
{% if cookiecutter.tasks == "database" %}

from accounts.forms import PasswordResetForm

reset = PasswordResetView.as_view(form_class=PasswordResetForm)
{% endif %}

urlpatterns = [
    path("", include("home.urls")),
    path("admin/", admin.site.urls),
{% if cookiecutter.tasks == "database" %}
    path("accounts/password_reset/", reset, name="password_reset"),
    path("accounts/", include("django.contrib.auth.urls")),
{% endif %}
]
