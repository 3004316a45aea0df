"""With the app that the package's README writes."""

from django.urls import include, path
from shop import ticks, views

urlpatterns = [
    path("", include("bare.urls")),
    path("stock/", views.stock),
    path("ticks/", ticks.ticks),
]
