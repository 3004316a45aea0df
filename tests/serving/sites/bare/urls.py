from django.urls import path

from bare import views

urlpatterns = [
    path("seen/", views.seen),
    path("size/", views.size),
    path("endless/", views.endless),
]
