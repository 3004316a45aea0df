"""With the project's own, which the package's README writes."""

from django.urls import include, path

urlpatterns = [path("", include("bare.urls")), path("", include("mysite.urls"))]
