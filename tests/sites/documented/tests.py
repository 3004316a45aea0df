import datetime

from django.core.management import CommandError, call_command
from django.test import TestCase
from django.urls import reverse

from accounts.models import User

from .forms import OrderForm
from .models import Garden, Tea


class TeaTests(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.garden = Garden.objects.create(name="Uji", founded=datetime.date(1815, 12, 10))

    def setUp(self):
        self.tea = Tea.objects.create(name=" Gyokuro ", garden=self.garden)

    def test_its_name_is_stripped(self):
        self.assertEqual(str(self.tea), "Gyokuro (S)")
        self.assertIs(self.tea.is_green, True)

    def test_the_index_names_it(self):
        response = self.client.get(reverse("shop:index"))
        self.assertEqual(response.status_code, 200)
        self.assertContains(response, "Gyokuro")

    def test_a_gift_needs_a_note(self):
        form = OrderForm({"tea": "green tea", "sender": "ada@example.com", "as_a_gift": "on"})
        self.assertEqual(form.errors["note"], ["A gift needs a note."])

    def test_the_command_names_what_is_missing(self):
        with self.assertRaises(CommandError):
            call_command("sellout", "4711")

    def test_a_form_makes_one(self):
        user = User.objects.create_superuser("ada", "ada@example.com", password="open sesame")
        self.client.force_login(user)
        response = self.client.post("/shop/add/", {"name": "Sencha", "garden": self.garden.pk})
        self.assertEqual(response.status_code, 302)
        response = self.client.get("/admin/shop/tea/")
        self.assertContains(response, "Sencha")
