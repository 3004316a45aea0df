"""`make rollback` as an owner needs it: after a bad release, with a proxy and without, and migrations between."""

import re
import shutil
from collections.abc import Iterator

import pytest

from tests.containers.test_deploy import Deploying, assert_whole
from tests.support.command import git
from tests.support.containers import Compose, composed, docker, locked_project, require_engine
from tests.support.server import wait_for
from tests.support.sites import SITES, put_lifespan

pytestmark = pytest.mark.container

FIELD = """
    tea = models.CharField(max_length=9, default="")
"""


class Site:
    """A project in git, whose commits are releases: its page says which one answers."""

    def __init__(self, compose: Compose) -> None:
        self.compose = compose
        self.project = compose.project
        self.tags: dict[str, str] = {}
        git(self.project, "init", "--quiet")

    def make(self, *arguments: str, check: bool = True, **variables: str) -> str:
        return self.compose.make(*arguments, check=check, **variables)

    def commit(self, version: str) -> None:
        """Commits what is there as a version."""
        page = self.project / "templates" / "base.html"
        text = re.sub(r"<!-- version .* -->", "", page.read_text())
        page.write_text(text.replace("</body>", f"<!-- version {version} --></body>"))
        git(self.project, "add", "--all")
        git(self.project, "commit", "--quiet", "--message", version)
        self.tags[version] = git(self.project, "rev-parse", "HEAD")[:12]

    def reset(self) -> None:
        """The folder, the images and the server as after the release of two, which came after one."""
        one, two = self.tags["one"], self.tags["two"]
        git(self.project, "reset", "--quiet", "--hard", two)
        git(self.project, "clean", "--quiet", "--force")
        docker("tag", f"{self.compose.name}:{two}", f"{self.compose.name}:latest")
        self.make("up")
        docker("tag", f"{self.compose.name}:{one}", f"{self.compose.name}:previous")
        for tag in self.images().keys() - {"latest", "previous", one, two}:
            docker("image", "rm", f"{self.compose.name}:{tag}")

    @property
    def version(self) -> str:
        """What the page says."""
        found = re.search("<!-- version (.*) -->", self.compose.get("/").text)
        assert found
        return found[1]

    def images(self) -> dict[str, str]:
        """Each tag, and its image's id."""
        listed = docker(
            "image", "ls", "--no-trunc", "--format", "{{.Tag}} {{.ID}}", self.compose.name
        )
        return dict(line.split() for line in listed.splitlines())

    def rollback(self, *arguments: str, **variables: str) -> str:
        """What a refusal says, which is one line."""
        said = self.make("rollback", *arguments, check=False, **variables)
        (line,) = [line for line in said.splitlines() if line.startswith("rollback: ")]
        assert "Error 1" in said
        return line.removeprefix("rollback: ")


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two releases, one and two, of which two runs, without a proxy."""
    require_engine()
    project = locked_project(tmp_path_factory.mktemp("rollback"))
    with composed(project) as compose:
        made = Site(compose)
        made.commit("one")
        made.make("build", "up")
        assert "there is nothing to go back to: no other image ran here" in made.rollback()
        made.commit("two")
        made.make("build", "up")
        yield made


@pytest.fixture
def site(releases: Site) -> Site:
    """These two, whatever another test has made of them."""
    releases.reset()
    return releases


def test_images_are_tagged_by_their_commits_and_latest_is_one_of_them(site: Site) -> None:
    images = site.images()
    assert images[site.tags["two"]] == images["latest"]
    assert images[site.tags["one"]] == images["previous"]


def test_there_and_back_again(site: Site) -> None:
    one, two = site.tags["one"], site.tags["two"]

    said = site.make("rollback")

    assert site.version == "one"
    assert f"rollback: going back to {one}; the database stays as it is" in said
    assert f"{one} runs in the place of {two}; `make rollback TAG={two}` returns to it" in said
    site.make("up")
    assert site.version == "one", "the next `make up` keeps it"
    assert f"{one} runs already; `make rollback TAG=...` takes {two}" in site.rollback(f"TAG={one}")

    site.make("rollback")
    assert site.version == "two"
    for name in (one[:7], git(site.project, "rev-parse", "HEAD~1").strip()):
        assert f"going back to {one}" in site.make("rollback", f"TAG={name}")
        site.make("rollback")


def test_a_build_that_was_never_started_is_put_aside(site: Site) -> None:
    site.commit("three")
    site.make("build")
    before = site.compose.containers("web")

    said = site.make("rollback")

    assert f"{site.tags['two']} still runs, so nothing is replaced; it is `latest` again" in said
    assert site.compose.containers("web") == before
    site.make("up")
    assert site.version == "two"


def test_a_release_that_does_not_start_is_taken_back_and_never_put_in_place_of_a_good_one(
    site: Site,
) -> None:
    put_lifespan(site.project, "fails")
    site.commit("broken")
    said = site.make("build", "up", check=False)
    assert "Error 1" in said, "it does not become healthy"

    site.make("rollback")
    assert site.version == "two"

    broken = site.tags["broken"]
    said = site.make("rollback", f"TAG={broken}", check=False)
    assert f"{broken} does not serve, so {site.tags['two']} is put back" in said
    assert site.version == "two"
    assert site.images()["latest"] == site.images()[site.tags["two"]]


def test_a_folder_with_changes_is_named_so(site: Site) -> None:
    views = site.project / "home" / "views.py"
    views.write_text(f"{views.read_text()}\n# tried\n")
    said = site.make("build")
    image = site.images()["latest"].removeprefix("sha256:")
    commit = git(site.project, "rev-parse", "HEAD")
    assert f"build: {site.compose.name}:latest is {site.compose.name}:" in said
    assert f"{commit[:12]}-dirty-{image[:8]}" in site.images()
    label = docker(
        "inspect", '--format={{index .Config.Labels "org.opencontainers.image.revision"}}', image
    )
    assert label == f"{commit.strip()}-dirty"


def test_only_the_newest_images_are_kept_and_those_in_use(site: Site) -> None:
    site.commit("three")
    site.make("build")
    site.make("rollback", f"TAG={site.tags['one']}")
    site.commit("four")

    said = site.make("build", KEEP_IMAGES="1")

    mine = f"--filter=label=com.docker.compose.project={site.compose.name}"
    assert docker("image", "ls", "--quiet", "--filter=dangling=true", mine) == ""
    assert {"latest", "previous", site.tags["one"], site.tags["two"], site.tags["four"]} == set(
        site.images()
    )
    assert f"{site.tags['three']}" in said.partition("build: removed ")[2]
    assert "KEEP_IMAGES=1 are kept" in said
    assert "KEEP_IMAGES='many' is no number of images; try 5" in site.make(
        "build", check=False, KEEP_IMAGES="many"
    )


def test_a_tag_that_is_not_there_is_said_with_those_that_are(site: Site) -> None:
    line = site.rollback("TAG=nosuch")
    assert line.startswith(
        f"there is no image {site.compose.name}:nosuch; `make rollback TAG=...` takes "
    )
    assert site.tags["one"] in line
    assert site.rollback(TAG="nosuch") == line, "as a variable of the shell too"
    assert "is unknown; it is keep, or not set" in site.rollback(
        f"TAG={site.tags['one']}", MIGRATIONS="yes"
    )


def test_a_tag_of_env_is_to_be_changed_there(site: Site) -> None:
    env = site.project / ".env"
    kept = env.read_text()
    env.write_text(f"{kept}TAG={site.tags['two']}\n")
    try:
        line = site.rollback()
    finally:
        env.write_text(kept)  # git, which leaves it out, would not put it back
    assert "in .env says which image runs: set it to an older one there, and `make up`" in line


def test_migrations_in_between_are_the_owners_to_decide(site: Site) -> None:
    models = site.project / "accounts" / "models.py"
    models.write_text(
        models.read_text().replace(
            "from django.contrib.auth.models import AbstractUser\n",
            "from django.contrib.auth.models import AbstractUser\nfrom django.db import models\n",
        )
        + FIELD
    )
    migrations = site.project / "accounts" / "migrations"
    shutil.copy(SITES / "written" / "new_column.py", migrations / "0002_user_tea.py")
    site.commit("tea")
    site.make("build", "up")
    assert site.version == "tea"

    line = site.rollback()

    two = site.tags["two"]
    assert f"{two} does not know what the database has, accounts.0002_user_tea: " in line
    assert f"`make rollback TAG={two} MIGRATIONS=keep`" in line
    assert site.version == "tea", "nothing is touched"

    site.make("rollback", f"TAG={two}", "MIGRATIONS=keep")
    assert site.version == "two"

    site.make("rollback")
    assert site.version == "tea", "forward is no question"

    undo = re.search(r"undo them first, which may lose data: `docker (.*)`$", site.rollback())
    assert undo
    site.compose(*undo[1].removeprefix("compose ").split())
    site.make("rollback")
    assert site.version == "two"


# Behind the proxy


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two releases, one and two, each deployed to two servers behind the proxy."""
    require_engine()
    project = locked_project(tmp_path_factory.mktemp("rollback-proxied"))
    put_lifespan(project, "slow")
    (project / "compose.slow.yaml").write_text(
        "services: { web: { environment: { SLOW_START: '${SLOW_START:-0}' } } }\n"
    )
    files = "compose.yaml:compose.proxy.yaml:compose.slow.yaml"
    with composed(project, COMPOSE_FILE=files, WEB_REPLICAS="2") as compose:
        made = Site(compose)
        made.commit("one")
        made.make("build", "up")
        made.commit("two")
        made.make("build", "deploy")
        yield made


def images_of(site: Site) -> set[str]:
    return {
        docker("inspect", "--format={{.Image}}", container)
        for container in site.compose.containers("web")
    }


def test_behind_the_proxy_servers_are_replaced_one_by_one(proxied: Site) -> None:
    images = proxied.images()
    assert images_of(proxied) == {images[proxied.tags["two"]]}

    said = proxied.make("rollback")

    assert "(1 of 2)" in said
    assert "(2 of 2)" in said
    assert images_of(proxied) == {images[proxied.tags["one"]]}
    assert_whole(proxied.compose, 2)
    proxied.make("rollback")
    assert images_of(proxied) == {images[proxied.tags["two"]]}


def test_what_is_interrupted_leaves_all_as_it_was(proxied: Site) -> None:
    before, images = proxied.compose.containers("web"), proxied.images()
    rolling = Deploying(proxied.compose, "rollback", SLOW_START="600")
    rolling.wait_for(lambda: len(proxied.compose.containers("web")) == 3, "a new container")

    rolling.signal(2)

    assert rolling.wait() != 0
    wait_for(lambda: proxied.images() == images, "latest to be what it was")
    assert sorted(proxied.compose.containers("web")) == sorted(before)
    assert_whole(proxied.compose, 2)
