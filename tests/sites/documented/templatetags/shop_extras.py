from django import template
from django.template.defaultfilters import stringfilter

register = template.Library()


@register.filter
@stringfilter
def without(value, arg):
    return value.replace(arg, "")


@register.simple_tag(takes_context=True)
def greeting(context, name):
    return f"{context['hello']}, {name}"


@register.inclusion_tag("shop/teas.html")
def teas_of(garden):
    return {"teas": garden.teas.all()}
