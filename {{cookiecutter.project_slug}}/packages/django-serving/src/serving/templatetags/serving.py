"""What a template can ask of the server: `{% load serving %}`."""

from django import template

from serving.log.context import request_id as current_id

register = template.Library()


@register.simple_tag
def request_id() -> str:
    """The id of the request that is answered, as the log has it; "" outside of one.

    It needs no context: Django renders a 500 page without any.
    """
    return current_id.get() or ""
