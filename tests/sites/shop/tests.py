"""What Django's own runner finds: the same classes without pytest."""

from django.test import LiveServerTestCase, TestCase
from serving.testing import LifespanMixin
from shop.test_doors import (
    Doors,
    LiveDoors,
    PlainDoors,
    SimpleDoors,
    TransactionDoors,
    WithoutMixin,
)

__all__ = [
    "Doors",
    "LifespanMixin",
    "LiveDoors",
    "LiveServerTestCase",
    "PlainDoors",
    "SimpleDoors",
    "TestCase",
    "TransactionDoors",
    "WithoutMixin",
]
