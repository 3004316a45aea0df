from django.contrib import admin
from django.utils.html import format_html

from .models import Garden, Leaf, Tea


class TeaInline(admin.TabularInline):
    model = Tea
    extra = 0


class AgeFilter(admin.SimpleListFilter):
    title = "age"
    parameter_name = "age"

    def lookups(self, request, model_admin):
        return [("old", "old gardens")]

    def queryset(self, request, queryset):
        if self.value() == "old":
            return queryset.filter(founded__year__lt=1900)
        return queryset


@admin.action(description="Take the selected teas off the shelf")
def take_off(modeladmin, request, queryset):
    queryset.update(stock=0)


@admin.register(Garden)
class GardenAdmin(admin.ModelAdmin):
    list_display = ["name", "founded", "in_capitals"]
    list_filter = [AgeFilter]
    search_fields = ["name"]
    inlines = [TeaInline]

    @admin.display(description="In capitals", empty_value="-")
    def in_capitals(self, obj):
        return format_html("<b>{}</b>", obj.name.upper())


class TeaAdmin(admin.ModelAdmin):
    list_display = ["name", "kind", "stock"]
    list_editable = ["stock"]
    list_filter = ["kind"]
    fieldsets = [
        (None, {"fields": ["name", "garden"]}),
        ("More", {"classes": ["collapse"], "fields": ["price", "stock"]}),
    ]
    actions = [take_off]
    autocomplete_fields = ["garden"]

    def get_queryset(self, request):
        found = super().get_queryset(request)
        if request.user.is_superuser:
            return found
        return found.filter(garden__name=request.user.username)

    def save_model(self, request, obj, form, change):
        obj.name = obj.name.title()
        super().save_model(request, obj, form, change)

    class Media:
        css = {"all": ["shop/admin.css"]}
        js = ["shop/admin.js"]


admin.site.register(Tea, TeaAdmin)
admin.site.register(Leaf)
