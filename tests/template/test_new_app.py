"""`make app`, a bare `startapp`, and `make migrations`, as an owner uses them."""

import shutil
from pathlib import Path

import pytest

from tests.conftest import Bake, bake_into
from tests.support.owner import Owner
from tests.support.sites import SITES

WRITTEN = SITES / "written"


@pytest.fixture
def owner(bake: Bake, environment: Path) -> Owner:
    return Owner(bake(), environment)


@pytest.fixture(scope="module")
def careful(tmp_path_factory: pytest.TempPathFactory, environment: Path) -> Owner:
    """One whose project stays as it is: every app that he asks for is refused."""
    return Owner(bake_into(tmp_path_factory.mktemp("careful")), environment)


def files(project: Path) -> dict[str, bytes]:
    """The project's files, but for bytecode."""
    return {
        str(path.relative_to(project)): path.read_bytes()
        for path in project.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_it_is_wired_linted_and_tested(owner: Owner) -> None:
    before = files(owner.project)
    said = owner.make("app", "NAME=tea_shop").stdout
    assert said == (
        "made tea_shop/, with a page at /tea_shop/, and added it to config/settings.py and config/urls.py\n"
    )
    after = files(owner.project)
    changed = {name for name in after if after[name] != before.get(name)}
    made = {name for name in changed if name.startswith("tea_shop/")}
    assert changed - made == {"config/settings.py", "config/urls.py"}
    assert {"tea_shop/__init__.py", "tea_shop/migrations/__init__.py", "tea_shop/tests.py"} < made

    owner.make("lint")
    assert "tea_shop/tests.py ." in owner.make("test").stdout
    shutil.copy(WRITTEN / "tea.py", owner.project / "tea_shop" / "models.py")
    assert "tea_shop/migrations/0001_initial.py" in owner.make("migrations").stdout
    owner.make("lint")
    owner.make("test")


def test_a_second_one_and_the_first_again(owner: Owner) -> None:
    owner.make("app", "NAME=shop")
    owner.make("app", "NAME=stock")
    before = files(owner.project)
    done = owner.make("app", "NAME=shop", check=False)
    assert done.returncode != 0
    assert "make app: shop/ is there already; choose another, such as shop_app\n" in done.stdout
    assert files(owner.project) == before
    assert "no issues" in owner.manage("check")


NO_NAME = "make app: it has no name; `make app NAME=shop`"
REFUSED = {
    "": NO_NAME,
    "Shop": "'Shop': a name has only a-z, 0-9 and _, and begins with a letter; try 'shop'",
    "my-shop": "try 'my_shop'",
    "2fast": "try 'fast'",
    "_shop": "try 'shop'",
    "a b": "try 'a_b'",
    "shop.cart": "try 'shop_cart'",
    "../shop": "try 'shop'",
    "/tmp/shop": "try 'tmp_shop'",  # noqa: S108
    "shop; touch planted": "try 'shop_touch_planted'",
    "$$(touch planted)": "'$(touch planted)'",
    "läden": "begins with a letter\n",
    "店": "begins with a letter\n",
    "s" * 51: "has 51 characters; 50 are the most",
    "class": "'class' is a keyword of Python; choose another, such as class_app",
    "json": "'json' is a module already, in ",
    "test": "'test' is a module already",
    "django": "'django' is a module already",
    "rest_framework": "'rest_framework' is a module already",
    "conftest": "'conftest' is a module already",
    "auth": "'auth' is the label of an app in INSTALLED_APPS",
    "admin": "'admin' is the label",
    "home": "home/ is there already",
    "config": "config/ is there already",
    "packages": "packages/ is there already",
    "docs": "'docs' is left out by .dockerignore",
    "backups": "'backups' is left out by .dockerignore",
    "static": "'static' is an address that the server answers itself",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_name_that_would_not_do_is_refused_and_nothing_is_left(careful: Owner, name: str) -> None:
    before = files(careful.project)
    done = careful.make("app", f"NAME={name}", check=False)
    assert done.returncode != 0
    said, end = done.stdout.splitlines(keepends=True)
    assert said.startswith("make app: ")
    assert REFUSED[name] in said
    assert end.startswith("make: ***")
    assert files(careful.project) == before


def test_the_name_that_a_shell_has_is_not_taken(careful: Owner) -> None:
    """A shell under Windows has the machine's."""
    done = careful.make("app", check=False, NAME="desktop")
    assert NO_NAME in done.stdout
    assert not (careful.project / "desktop").exists()


@pytest.mark.parametrize("ending", ["\n", "\r\n"], ids=["unix", "windows"])
@pytest.mark.parametrize("kind", ["one line", "tuple", "sum"])
def test_settings_and_addresses_may_be_written_otherwise(
    owner: Owner, kind: str, ending: str
) -> None:
    apps = '"accounts", "django.contrib.auth", "django.contrib.contenttypes", "serving", "serving_tools"'
    settings, urls = {
        "one line": (f"INSTALLED_APPS = [{apps}]\n", "urlpatterns = []\n".replace("[]", '[path("", page)]')),
        "tuple": (
            f"INSTALLED_APPS: tuple[str, ...] = (\n    # Ours\n    {apps},\n)\n",
            'urlpatterns = (\n    path("", page),\n)\n',
        ),
        "sum": (
            f"OWN = []\nINSTALLED_APPS = [\n    {apps},\n] + OWN\n",
            'urlpatterns = [\n    path("", page),\n] + [path("more/", page)]\n',
        ),
    }[kind]  # fmt: skip
    page = (WRITTEN / "page.py").read_text()
    shutil.rmtree(owner.project / "home")
    config = owner.project / "config"
    text = (config / "settings.py").read_text()
    before, _, rest = text.partition("INSTALLED_APPS = [\n")
    whole = f"{before}{settings}{rest.partition(chr(10) + ']' + chr(10))[2]}"
    (config / "settings.py").write_bytes(whole.replace("\n", ending).encode())
    (config / "urls.py").write_bytes(f"{page}\n{urls}".replace("\n", ending).encode())

    owner.make("app", "NAME=shop")

    assert "no issues" in owner.manage("check")
    for file in ("settings.py", "urls.py"):
        lines = (config / file).read_bytes().splitlines(keepends=True)
        assert {line.endswith(b"\r\n") for line in lines} == {ending == "\r\n"}, file
    show = "import config.urls as u, shop; print(u.urlpatterns[0].pattern)"
    assert owner.manage(f"shell -v0 -c '{show}'").endswith("shop/\n")


def test_a_comment_stays_with_the_line_that_it_is_on(owner: Owner) -> None:
    urls = owner.project / "config" / "urls.py"
    before = urls.read_text()
    assert "urlpatterns = [\n    #" in before
    owner.make("app", "NAME=shop")
    line = '    path("shop/", include("shop.urls")),\n'
    assert urls.read_text() == before.replace("urlpatterns = [\n", f"urlpatterns = [\n{line}", 1)


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("config/settings.py", "INSTALLED_APPS = [", "INSTALLED_APPS = list([", "INSTALLED_APPS begins with no list"),
        ("config/urls.py", "urlpatterns = [", "urlpatterns = list([", "urlpatterns begins with no list"),
        ("config/urls.py", "urlpatterns = [", "urlpatterns = = [", "line 9: invalid syntax; correct it first"),
    ],
    ids=["apps", "addresses", "broken"],
)  # fmt: skip
def test_what_cannot_be_added_to_is_named_and_nothing_is_left(
    owner: Owner, file: str, old: str, new: str, said: str
) -> None:
    owner.write(file, old, new)
    if "list(" in new:
        path = owner.project / file
        head, _, tail = path.read_text().partition(new)
        path.write_text(head + new + tail.replace("\n]\n", "\n])\n", 1))
    before = files(owner.project)
    done = owner.make("app", "NAME=shop", check=False)
    assert f"make app: {file}" in done.stdout
    assert said in done.stdout
    assert "Traceback" not in done.stdout
    assert files(owner.project) == before


# `manage.py startapp`, and lines that an owner forgets


def test_lines_forgotten_after_startapp_are_named_one_after_the_other(owner: Owner) -> None:
    owner.manage("startapp", "shop")
    owner.make("format")
    done = owner.make("lint", check=False)
    assert done.returncode != 0
    assert "shop/apps.py: INSTALLED_APPS of config/settings.py has no 'shop'" in done.stdout
    assert 'Add "shop" to INSTALLED_APPS' in done.stdout

    owner.write("config/settings.py", '    "home",\n', '    "home",\n    "shop",\n')
    owner.make("lint")
    urls = (owner.project / "home" / "urls.py").read_text().replace("home", "shop")
    views = (owner.project / "home" / "views.py").read_text()
    (owner.project / "shop" / "urls.py").write_text(urls)
    (owner.project / "shop" / "views.py").write_text(views)
    done = owner.make("lint", check=False)
    assert "shop/urls.py: nothing includes it" in done.stdout
    add = 'path("shop/", include("shop.urls"))'
    assert f"Add {add} to urlpatterns of config/urls.py" in done.stdout

    owner.write("config/urls.py", "urlpatterns = [\n", f"urlpatterns = [\n    {add},\n")
    owner.make("lint")
    shutil.copy(WRITTEN / "tea.py", owner.project / "shop" / "models.py")
    shutil.rmtree(owner.project / "shop" / "migrations")
    done = owner.make("lint", check=False)
    assert "shop/migrations/ is missing" in done.stdout
    owner.make("migrations", "ARGS=shop")
    owner.make("lint")

    shutil.copy(WRITTEN / "cases.py", owner.project / "shop" / "tests.py")
    owner.make("lint")
    assert "shop/tests.py ." in owner.make("test").stdout


def test_the_doctor_names_them_too(owner: Owner) -> None:
    owner.manage("startapp", "shop")
    said = owner.make("doctor", check=False).stdout
    assert "warning  settings: serving_tools.W001: shop/apps.py:" in said


# `make migrations`


def test_migrations_come_out_as_lint_wants_them(owner: Owner) -> None:
    """With imports of the project's own, too, which Django sorts otherwise."""
    owner.make("app", "NAME=shop")
    owner.make("app", "NAME=zoo")
    shutil.copy(WRITTEN / "labels.py", owner.project / "shop" / "models.py")
    ape = (WRITTEN / "tea.py").read_text().replace("Tea", "Ape")
    (owner.project / "zoo" / "models.py").write_text(ape)
    said = owner.make("migrations").stdout
    assert "Create model Tea" in said
    assert "Create model Ape" in said
    owner.make("lint")
    assert "No changes detected" in owner.make("migrations").stdout

    owner.make("migrations", "ARGS=shop --empty --name by_hand")
    assert (owner.project / "shop" / "migrations" / "0002_by_hand.py").exists()
    owner.make("lint")
    done = owner.make("migrations", "ARGS=nosuch", check=False)
    assert done.returncode != 0
    assert "No installed app with label 'nosuch'" in done.stdout
