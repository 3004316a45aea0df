from django.contrib.auth.decorators import login_required
from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import Http404, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse, reverse_lazy
from django.views import View
from django.views.generic import (
    CreateView,
    DeleteView,
    DetailView,
    FormView,
    ListView,
    TemplateView,
    UpdateView,
)

from .forms import OrderForm, TeaForm
from .models import Garden, Tea


def index(request):
    newest = Tea.objects.order_by("-added")[:5]
    return HttpResponse(", ".join([tea.name for tea in newest]))


def by_id(request, id):
    try:
        tea = Tea.objects.get(pk=id)
    except Tea.DoesNotExist:
        raise Http404("There is no such tea")
    return render(request, "shop/tea_detail.html", {"tea": tea})


@login_required
def taste(request, pk):
    tea = get_object_or_404(Tea, pk=pk)
    garden, created = Garden.objects.get_or_create(name=tea.garden.name)
    return HttpResponseRedirect(reverse("shop:detail", args=(tea.id,)))


def order(request):
    if request.method == "POST":
        form = OrderForm(request.POST)
        if form.is_valid():
            return redirect("shop:index")
    else:
        form = OrderForm()
    return render(request, "shop/order.html", {"form": form})


async def count(request):
    return JsonResponse({"count": await Tea.objects.acount()})


class JsonErrors:
    """A mixin, which names what only the class beside it has."""

    def form_invalid(self, form):
        response = super().form_invalid(form)
        if self.request.accepts("text/html"):
            return response
        return JsonResponse(form.errors, status=400)


class TeaList(ListView):
    model = Tea
    paginate_by = 100
    context_object_name = "teas"

    def get_queryset(self):
        self.garden = get_object_or_404(Garden, name=self.kwargs["garden"])
        return Tea.objects.filter(garden=self.garden)

    def get_context_data(self, **kwargs):
        context = super().get_context_data(**kwargs)
        context["garden"] = self.garden
        return context


class MyTeas(LoginRequiredMixin, ListView):
    def get_queryset(self):
        return Tea.objects.filter(garden__name=self.request.user.email)


class TeaDetail(DetailView):
    queryset = Tea.in_stock.all()

    def get_object(self):
        tea = super().get_object()
        tea.stock -= 1
        tea.save()
        return tea


class TeaCreate(LoginRequiredMixin, JsonErrors, CreateView):
    model = Tea
    fields = ["name", "garden"]

    def form_valid(self, form):
        form.instance.added_by = self.request.user
        return super().form_valid(form)


class TeaUpdate(UpdateView):
    model = Tea
    form_class = TeaForm
    template_name_suffix = "_update_form"


class TeaDelete(DeleteView):
    model = Tea
    success_url = reverse_lazy("shop:index")


class OrderView(FormView):
    template_name = "shop/order.html"
    form_class = OrderForm
    success_url = "/thanks/"


class About(TemplateView):
    template_name = "shop/about.html"


class Greeting(View):
    greeting = "Good day"

    def get(self, request, *args, **kwargs):
        return HttpResponse(self.greeting)
