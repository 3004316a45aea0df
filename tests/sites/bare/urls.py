from bare import views
from django.urls import path

urlpatterns = [
    path("seen/", views.seen),
    path("size/", views.size),
    path("endless/", views.endless),
]
