from django.urls import path

from . import views

app_name = "shop"

urlpatterns = [
    path("", views.index, name="index"),
    path("<int:pk>/", views.TeaDetail.as_view(), name="detail"),
    path("id/<int:id>/", views.by_id, name="by_id"),
    path("<int:pk>/taste/", views.taste, name="taste"),
    path("order/", views.order, name="order"),
    path("count/", views.count, name="count"),
    path("of/<str:garden>/", views.TeaList.as_view(), name="list"),
    path("mine/", views.MyTeas.as_view(), name="mine"),
    path("add/", views.TeaCreate.as_view(), name="add"),
    path("about/", views.About.as_view(template_name="shop/about.html"), name="about"),
]
