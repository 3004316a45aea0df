"""A test as `startapp` has one write it, for an app's tests.py."""

from django.test import TestCase


class TeaTest(TestCase):
    def test_it(self):
        self.assertTrue(True)
