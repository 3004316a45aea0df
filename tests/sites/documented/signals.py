from django.core.signals import request_finished
from django.db.models.signals import post_save, pre_save
from django.dispatch import Signal, receiver

from .models import Tea

tea_served = Signal()


@receiver(request_finished)
def note_the_end(sender, **kwargs):
    pass


@receiver([pre_save, post_save], sender=Tea)
def serve(sender, instance, **kwargs):
    tea_served.send(sender=sender, sugar=[], size=instance.size)
