from django.urls import path
from shop import views

app_name = "shop"

urlpatterns = [
    path("price/", views.price, name="price"),
    path("ticks/", views.ticks, name="ticks"),
]
