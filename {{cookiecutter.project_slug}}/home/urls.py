from django.urls import path

from home import views

app_name = "home"

urlpatterns = [
    path("", views.index, name="index"),
    path("live/", views.live, name="live"),
    path("uptime/", views.uptime, name="uptime"),
]
