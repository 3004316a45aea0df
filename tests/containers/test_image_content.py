"""What of a project's folder is in its image: all that it needs without a line to write, and no secret."""

import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import bake_into, clean_environment, with_packages
from tests.support.containers import build, docker, locked_project, make, require_engine
from tests.support.packages import TOOLS
from tests.support.sites import SITES

SECRET = "hunter2-hunter2-hunter2"

# What an owner adds, and expects in the image.
WANTED = {
    "shop/__init__.py": "",
    "shop/apps.py": (SITES / "owner" / "shop" / "apps.py").read_text(),
    "shop/secrets.py": "import secrets\n",
    "shop/password_policy.py": "",
    "shop/credentials.py": "",
    "shop/data/cities.csv": "Turin\n",
    "shop/fixtures/cities.json": "[]",
    "shop/sql/view.sql": "SELECT 1",
    "shop/templates/shop/password_reset_form.html": "<p>",
    "shop/static/shop/credential.js": "0",
    "shop/tests/test_shop.py": "",
    "templates/mail/receipt.txt": "receipt",
    "locale/de/LC_MESSAGES/django.po": "",
    "locale/de/LC_MESSAGES/django.mo": "mo",
    "static/print.css": "p {}",
    "packages/rates/src/rates/__init__.py": "",
    "packages/rates/pyproject.toml": "[project]\nname = 'rates'\nversion = '1'\nrequires-python = '>=3.12'\n"
    "[build-system]\nrequires = ['uv_build']\nbuild-backend = 'uv_build'\n",
    "packages/rates/README.md": "rates\n",
    "tasks.py": "",
    "VERSION": "1",
    "data/model.bin": "0101",
}

PLANTED = """
.env .env.production config/.env config/.env.local prod.env config/prod.env shop/PROD.ENV
server.pem config/server.pem config/Server.PEM config/server.key shop/deep/down/tls.KEY
id_rsa shop/id_rsa config/id_ed25519 config/id_ecdsa.bak
.git/config .git/objects/aa/bb backups/one.dump backups/db-2026.sqlite3 shop/prod.dump shop/dump.sql
shop/mysql-dump-2026.sql shop/all.sql.gz dumps/one shop/dumps/two
db.sqlite3 db.sqlite3-wal db.sqlite3-shm db.sqlite3-journal prod.db shop/prod.db shop/prod.db-wal
home/x.sqlite home/x.SQLite3 before-restore-1.sqlite3 media/passport.pdf
.venv/lib/planted.py venv/planted.py env/planted.py node_modules/x/index.js shop/node_modules/x/index.js
credentials.json shop/credentials.json config/aws-credentials.csv service-account.json
config/service_account.json config/my-ServiceAccount-1.json client_secret_1.json config/client_secret.json
.aws/credentials shop/.aws/credentials secrets/one secrets/prod.py shop/secrets/two secrets.yaml
config/secrets.yml config/secret.txt passwords.txt config/passwords.kdbx config/store.p12
config/store.pfx config/store.jks config/store.keystore .netrc config/.netrc config/_netrc .pgpass .npmrc
.pypirc .htpasswd shop/.htpasswd .ssh/config .docker/config.json .kube/config kubeconfig config/kubeconfig.yaml
terraform.tfstate config/terraform.tfstate.backup config/prod.tfvars config/key.p8 config/key.ppk
config/dump.rdb config/x.gpg config/x.asc config/vpn.ovpn local_settings.py config/local_settings.py
notes.txt debug.log shop/debug.log config/settings.py~ config/settings.py.bak shop/.DS_Store .idea/workspace.xml
.vscode/settings.json .mypy_cache/x.json .coverage htmlcov/index.html tests/planted.py docs/planted.md
deploy/planted.py data/__pycache__/planted.pyc staticfiles/planted.css .deploy.lock
""".split()


def plant(project: Path) -> None:
    for name, text in WANTED.items():
        put(project / name, text)
    for name in PLANTED:
        put(project / name, f"{SECRET}\n")
    settings = project / "config" / "settings.py"
    text = settings.read_text()
    for old, new in (
        ('"home",\n', '"home",\n    "shop",\n'),
        ("STATIC_ROOT =", 'LOCALE_PATHS = [BASE_DIR / "locale"]\nSTATIC_ROOT ='),
    ):
        assert old in text
        text = text.replace(old, new, 1)
    settings.write_text(text)
    metadata = project / "pyproject.toml"
    text = metadata.read_text().replace(
        '    "serving-tools",', '    "serving-tools",\n    "rates",'
    )
    metadata.write_text(
        text.replace("[tool.uv.sources]", "[tool.uv.sources]\nrates = { workspace = true }")
    )


def put(path: Path, text: str) -> None:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture(scope="session")
def grown_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has grown, with secrets all over the place: tests must not write into it."""
    require_engine()
    project = locked_project(tmp_path_factory.mktemp("grown"))
    plant(project)
    make(project, "lock", UV_NO_SYNC="1")
    return project


@pytest.fixture(scope="session")
def grown_image(grown_project: Path) -> Iterator[str]:
    """Its image."""
    tag = f"test-{uuid.uuid4().hex[:8]}"
    build(grown_project, tag)
    yield tag
    docker("image", "rm", "--force", tag, check=False)


@pytest.fixture(scope="session")
def content(grown_image: str) -> set[str]:
    """The files under /app in its image."""
    found = docker(
        "run", "--rm", "--user=0", "--entrypoint=find", grown_image, "/app", "-type", "f"
    )
    return {path.removeprefix("/app/") for path in found.splitlines()}


@pytest.mark.container
def test_packages_are_installed_and_those_of_the_template_are_nowhere_else(
    grown_image: str, content: set[str]
) -> None:
    """One of the project's own beside them is installed too."""
    show = "import rates, serving, serving_tools; print(*[m.__file__ for m in (rates, serving, serving_tools)])"
    found = docker("run", "--rm", "--entrypoint=python", grown_image, "-c", show).split()
    assert all(path.startswith("/opt/venv/lib/") for path in found), found
    assert not [
        path for path in content if path.startswith(("packages/django", "packages/serving"))
    ]


@pytest.mark.container
def test_what_an_owner_adds_is_in_it_and_no_secret_is(
    content: set[str], grown_project: Path
) -> None:
    assert WANTED.keys() - content == set()
    assert content & set(PLANTED) == set()
    told = {
        str(path.relative_to(grown_project))
        for path in grown_project.rglob("*")
        if path.is_file() and SECRET.encode() in path.read_bytes()
    }
    assert told == set(PLANTED) - {".env"}, "each was planted"
    assert content & told == set()


@pytest.mark.container
def test_the_rules_are_read_as_the_engine_reads_them(
    content: set[str], grown_project: Path
) -> None:
    ask = (
        "import sys, pathlib; from serving_tools.deploy.image_files import Ignored;"
        "ignored = Ignored(pathlib.Path('.dockerignore').read_text());"
        "print(*(line for line in sys.stdin.read().split('\\n') if not ignored.leaves_out(line)), sep='\\n')"
    )
    everything = [
        str(path.relative_to(grown_project)) for path in grown_project.rglob("*") if path.is_file()
    ]
    done = subprocess.run(
        [sys.executable, "-c", ask], cwd=grown_project, input="\n".join(everything), text=True,
        env=with_packages(grown_project, clean_environment()), capture_output=True, check=True,
    )  # fmt: skip
    # The build installs these two, and removes their sources.
    installed = ("packages/django-serving/", "packages/serving-tools/")
    goes_in = {path for path in done.stdout.splitlines() if path and not path.startswith(installed)}
    built = {
        path
        for path in content
        if not path.startswith("staticfiles/") and "__pycache__" not in path
    }
    assert goes_in == built


@pytest.mark.container
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("config/deploy", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n"),
        ("shop/gcp.json", '{\n  "private_key": "-----BEGIN PRIVATE KEY-----\\nMII"\n}\n'),
        ("shop/data/store", "SQLite format 3\0\x10\0"),
    ],
)
def test_a_key_or_a_database_of_any_name_stops_the_build(
    grown_project: Path, tmp_path: Path, content: set[str], name: str, text: str
) -> None:
    assert content
    project = shutil.copytree(grown_project, tmp_path / "project", symlinks=True)
    put(project / name, text)
    tag = f"test-{uuid.uuid4().hex[:8]}"

    said = build(project, tag, check=False)

    assert f"./{name}\n" in said
    assert "name them in .dockerignore" in said
    assert docker("images", "--quiet", tag) == ""


# Before the build, by git; no engine is needed.


def git(project: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=ada", "-c", "user.email=ada@example.com"]
    subprocess.run(
        ["git", *identity, *arguments], cwd=project, env=clean_environment(), check=True, capture_output=True
    )  # fmt: skip


def check(project: Path) -> tuple[int, list[str]]:
    """The exit status of the check that `make build` begins with, and what it says."""
    done = subprocess.run(
        [sys.executable, "-I", TOOLS, "deploy.image_files"], cwd=project, env=clean_environment(),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout.splitlines()


@pytest.fixture
def committed(tmp_path: Path) -> Path:
    project = bake_into(tmp_path)
    git(project, "init", "--quiet")
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message=begin")
    return project


def test_a_project_as_it_comes_out_has_nothing_to_say(committed: Path) -> None:
    (committed / ".env").write_text("SECRET_KEY=x\n")
    (committed / "db.sqlite3").write_text("")
    put(committed / ".venv" / "x.py", "")
    assert check(committed) == (0, [])


@pytest.mark.parametrize(
    "name",
    [
        "cities.csv",
        "robots.txt",
        "shop/certs/ca.pem",
        "shop/geo.sqlite3",
        "shop/static/.well-known/x",
    ],
)
def test_a_file_of_git_is_never_left_out_in_silence(committed: Path, name: str) -> None:
    put(committed / name, "data\n")
    git(committed, "add", "--all", "--force")

    status, (line,) = check(committed)

    assert status == 1
    assert line.startswith(f"image: {name} is in git and would be left out of the image, by ")
    assert f"`!{name}` to have it there, or `{name}` to leave it out" in line
    rules = (committed / ".dockerignore").read_text()
    for decision in (f"!{name}", name):
        (committed / ".dockerignore").write_text(f"{rules}{decision}\n")
        assert check(committed) == (0, []), decision


def test_a_file_that_git_ignores_does_not_go_in_unseen(committed: Path) -> None:
    put(committed / "config" / "prod.ini", "password = x")
    put(committed / "cache" / "one", "")
    put(committed / "locale" / "de" / "LC_MESSAGES" / "django.mo", "")
    put(committed / "static" / "dist" / "site.js", "")
    with (committed / ".gitignore").open("a") as ignored:
        ignored.write("/config/prod.ini\n/cache/\n*.mo\ndist/\n")

    status, lines = check(committed)

    assert status == 1
    assert [line.split()[1] for line in lines] == ["cache/one", "config/prod.ini"]
    assert "`config/prod.ini` to keep it out, or `!config/prod.ini` to have it there" in lines[1]
    with (committed / ".dockerignore").open("a") as rules:
        rules.write("cache\n!config/prod.ini\n")
    assert check(committed) == (0, [])


def test_what_is_not_in_git_yet_goes_in_and_is_said(committed: Path) -> None:
    put(committed / "shop" / "views.py", "")
    assert check(committed) == (
        0,
        ["image: shop/views.py goes into the image, and is not in git yet"],
    )


def test_without_git_it_says_what_is_left_out(tmp_path: Path) -> None:
    project = bake_into(tmp_path)
    put(project / "cities.csv", "")
    put(project / "shop" / "geo.sqlite3", "")
    put(project / ".venv" / "x.pem", "")
    status, lines = check(project)
    assert status == 0
    assert [line.split()[1] for line in lines] == ["cities.csv", "shop/geo.sqlite3"]


def test_a_repository_that_git_refuses_to_read_stops_the_build(committed: Path) -> None:
    """As one of another user's does, in a CI's container: what it ignores would go in unseen."""
    put(committed / "config" / "prod.ini", "password = x")
    with (committed / ".gitignore").open("a") as ignored:
        ignored.write("/config/prod.ini\n")
    (committed / ".git" / "index").write_bytes(b"broken")
    status, lines = check(committed)
    assert status == 1
    assert lines[0].startswith("image: git can't say what it ignores, so a secret may go in: ")


def test_a_folder_of_a_greater_repository_is_a_project_too(tmp_path: Path) -> None:
    project = bake_into(tmp_path)
    put(project / "cities.csv", "")
    put(tmp_path / "other" / "x.pem", "")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "--all", "--force")
    status, lines = check(project)
    assert status == 1
    assert [line.split()[1] for line in lines] == ["cities.csv"]


def test_many_lines_are_counted(committed: Path) -> None:
    for number in range(25):
        put(committed / f"{number:02}.csv", "")
    git(committed, "add", "--all")
    status, lines = check(committed)
    assert status == 1
    assert len(lines) == 11
    assert lines[-1] == "image: and 15 more such files"


@pytest.mark.container
def test_make_build_stops_before_it_builds(committed: Path) -> None:
    require_engine()
    make(committed, "lock", ".env", UV_NO_SYNC="1")
    put(committed / "cities.csv", "")
    git(committed, "add", "--all")
    said = make(committed, "build", check=False, COMPOSE_PROJECT_NAME="test-stops")
    assert "cities.csv is in git and would be left out" in said
    assert docker("images", "--quiet", "test-stops") == ""
