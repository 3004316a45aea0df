"""Other addresses, to which a middleware turns: what was sync is async here, and the other way round."""

from django.urls import path

from tests.sites import handler as site

urlpatterns = [path("hello/", site.ahello), path("ahello/", site.hello), path("where/", site.where)]
