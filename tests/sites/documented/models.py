from django.db import models
from django.urls import reverse
from django.utils.translation import gettext_lazy as _


class InStockManager(models.Manager):
    def get_queryset(self):
        return super().get_queryset().filter(stock__gt=0)


class TeaQuerySet(models.QuerySet):
    def cheap(self):
        return self.filter(price__lt=10)


class Garden(models.Model):
    name = models.CharField(max_length=100)
    founded = models.DateField(null=True, blank=True)

    def get_absolute_url(self):
        return reverse("shop:list", args=[self.name])

    def __str__(self):
        return self.name

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "gardens"


class Tea(models.Model):
    class Kind(models.TextChoices):
        GREEN = "green", _("Green")
        BLACK = "black", _("Black")

    SIZES = [("S", "Small"), ("L", "Large")]
    SPELLINGS = {"oolong": "wulong"}

    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.GREEN)
    size = models.CharField(max_length=1, choices=SIZES, default="S")
    garden = models.ForeignKey(Garden, on_delete=models.CASCADE, related_name="teas")
    blended_with = models.ManyToManyField("self", blank=True)
    price = models.DecimalField(max_digits=6, decimal_places=2, default=0)
    stock = models.IntegerField(default=0)
    added = models.DateTimeField(auto_now_add=True)

    objects = TeaQuerySet.as_manager()
    in_stock = InStockManager()

    class Meta:
        ordering = ["-added", "name"]
        indexes = [models.Index(fields=["name"], name="tea_name")]
        constraints = [
            models.CheckConstraint(condition=models.Q(price__gte=0), name="tea_price_not_negative"),
        ]
        permissions = [("taste_tea", "Can taste a tea")]

    def __str__(self):
        return "%s (%s)" % (self.name, self.size)

    def get_absolute_url(self):
        return reverse("shop:detail", kwargs={"pk": self.pk})

    def save(self, *args, **kwargs):
        self.name = self.name.strip()
        super().save(*args, **kwargs)

    @property
    def is_green(self):
        return self.kind == self.Kind.GREEN


class Leaf(models.Model):
    tea = models.ForeignKey(Tea, on_delete=models.CASCADE)
