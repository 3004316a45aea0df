from django.urls import include, path
from shop import views

urlpatterns = [
    path("", include("config.urls")),
    path("state/", views.state),
    path("sell/", views.sell),
    path("sell-in-a-thread/", views.sell_in_a_thread),
    path("people/", views.people),
]
