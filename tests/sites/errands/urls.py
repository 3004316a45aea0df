from django.urls import path
from errands import views

urlpatterns = [
    path("<name>/", views.enqueue, name="enqueue"),
    path("async/<name>/", views.enqueue_async),
    path("rolled-back/<name>/", views.roll_back),
]
