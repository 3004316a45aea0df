from django import forms
from django.core.exceptions import ValidationError

from .models import Tea


class OrderForm(forms.Form):
    tea = forms.CharField(max_length=100)
    note = forms.CharField(widget=forms.Textarea, required=False)
    sender = forms.EmailField()
    as_a_gift = forms.BooleanField(required=False)

    def clean_tea(self):
        data = self.cleaned_data["tea"]
        if "tea" not in data:
            raise ValidationError("%(value)s is no tea", params={"value": data})
        return data

    def clean(self):
        cleaned_data = super().clean()
        as_a_gift = cleaned_data.get("as_a_gift")
        note = cleaned_data.get("note")
        if as_a_gift:
            if not note:
                self.add_error("note", "A gift needs a note.")


class TeaForm(forms.ModelForm):
    class Meta:
        model = Tea
        fields = ["name", "garden", "price"]
        widgets = {"name": forms.TextInput(attrs={"size": 40})}
        labels = {"name": "Which tea"}
        error_messages = {"name": {"max_length": "This name is too long."}}

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["name"].widget.attrs.update({"class": "wide"})

    def clean_name(self):
        return self.cleaned_data["name"].strip()


TeaFormSet = forms.modelformset_factory(Tea, fields=["name"])
