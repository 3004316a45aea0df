"""Django as its documentation writes it, in a project: `make lint` and `make test` take it as it is."""

from pathlib import Path

import pytest

from tests.conftest import Bake
from tests.support.owner import Owner


@pytest.fixture
def owner(bake: Bake, environment: Path) -> Owner:
    """One who has an app as Django's documentation writes it: lists, no types, unittest's assertions."""
    made = Owner(bake(), environment)
    made.put_app("documented", "shop")
    return made


def test_the_app_is_linted_migrated_and_tested_as_it_is(owner: Owner) -> None:
    owner.make("migrations")
    said = owner.make("lint").stdout
    assert "All checks passed!" in said
    assert "Success: no issues found" in said

    tested = owner.make("test").stdout
    assert "shop/tests.py ....." in tested
    assert "failed" not in tested


# What mypy says of a mistake, and the mistake.
PLANTED = {
    "Incompatible return value type": "def price_of(tea: Tea) -> int:\n    return tea.name\n",
    "Cannot resolve keyword 'cost'": (
        "def cheap() -> models.QuerySet[Tea]:\n    return Tea.objects.filter(cost=1)\n"
    ),
    "missing a type annotation for one or more": "def half(request, tea: Tea):\n    return tea\n",
    'expression has type "str", variable has type "int"': 'LARGEST: int = "many"\n',
    'base class "Field" defined the type as': "class Leaves(models.CharField):\n    empty_values = 1\n",
}


def test_what_has_types_is_held_to_them(owner: Owner) -> None:
    planted = owner.project / "shop" / "models.py"
    planted.write_text("\n\n".join([planted.read_text(), *PLANTED.values()]))
    owner.make("format")

    done = owner.make("lint", check=False)
    assert done.returncode != 0
    for said in PLANTED:
        assert any(
            line.startswith("shop/models.py:") and said in line for line in done.stdout.splitlines()
        ), f"{said!r} is not in\n{done.stdout}"


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        ("import nosuchmodule  # noqa: E402, F401\n", "No module named 'nosuchmodule'"),
        ("class TypedAdmin(admin.ModelAdmin[Tea]):\n    pass\n", "not subscriptable"),
    ],
    ids=["missing", "subscript"],
)
def test_an_app_that_cannot_be_imported_is_named(owner: Owner, mistake: str, said: str) -> None:
    """Not "INTERNAL ERROR", by which mypy's plugin for Django would end."""
    planted = owner.project / "shop" / "admin.py"
    planted.write_text(f"{planted.read_text()}\n\n{mistake}")
    done = owner.make("lint", check=False)
    assert done.returncode != 0
    assert said in done.stdout
    assert "shop/admin.py" in done.stdout
    assert "INTERNAL ERROR" not in done.stdout


def test_a_name_that_is_not_there_is_found_without_types(owner: Owner) -> None:
    planted = owner.project / "shop" / "views.py"
    planted.write_text(f"{planted.read_text()}\n\ndef total(request):\n    return nosuchname\n")
    done = owner.make("lint", check=False)
    assert done.returncode != 0
    assert "F821" in done.stdout


def test_a_package_without_types_is_no_mistake(owner: Owner) -> None:
    """Many have none; Django REST framework is one, and in the environment of these tests."""
    (owner.project / "shop" / "api.py").write_text(
        "from rest_framework import serializers, viewsets\n"
        "from rest_framework.decorators import api_view\n"
        "from rest_framework.request import Request\n"
        "from rest_framework.response import Response\n"
        "\n"
        "from .models import Tea\n"
        "\n"
        "\n"
        "class TeaSerializer(serializers.ModelSerializer):\n"
        "    class Meta:\n"
        "        model = Tea\n"
        '        fields = ["name"]\n'
        "\n"
        "\n"
        "class Teas(viewsets.ModelViewSet):\n"
        "    queryset = Tea.objects.all()\n"
        "    serializer_class = TeaSerializer\n"
        "\n"
        "\n"
        '@api_view(["GET"])\n'
        "def hello(request: Request) -> Response:\n"
        '    return Response({"hello": "tea"})\n'
    )
    owner.make("lint")
