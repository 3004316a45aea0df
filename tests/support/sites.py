"""Copies what stands in tests/sites/ into a generated project."""

import shutil
from pathlib import Path

SITES = Path(__file__).parent.parent / "sites"
TEMPLATE = SITES.parent.parent / "{{cookiecutter.project_slug}}"


def put_site(project: Path, name: str) -> None:
    """Adds the views of tests/sites/<name>.py to the app `home`, before its own."""
    urls = project / "home" / "urls.py"
    urls.write_text(with_site(urls.read_text(), name))


def with_site(urls: str, name: str) -> str:
    """The text of home/urls.py with the views of tests/sites/<name>.py before its own."""
    assert "\nurlpatterns = [\n" in urls, "the views were put there already"
    site = (SITES / f"{name}.py").read_text()
    return f"{site}\n\n{urls.replace('urlpatterns = [', 'urlpatterns += [', 1)}"


def site_volume(folder: Path, name: str) -> str:
    """Writes such a text into this folder; the option that mounts it into a container."""
    urls = folder / "urls.py"
    urls.write_text(with_site((TEMPLATE / "home" / "urls.py").read_text(), name))
    urls.chmod(0o644)
    folder.chmod(0o755)
    return f"--volume={urls}:/app/home/urls.py:ro"


def put_lifespan(project: Path, name: str) -> None:
    """Replaces the lifespan of the app `home` by tests/sites/lifespans/<name>.py."""
    shutil.copy(SITES / "lifespans" / f"{name}.py", project / "home" / "lifespan.py")


def program(name: str) -> str:
    """The text of a program of tests/sites/programs/, for `python -c`."""
    return (SITES / "programs" / f"{name}.py").read_text()


def put_tests(project: Path) -> None:
    """Copies the tests that run inside a project, and the sites that they serve."""
    for folder in ("data", "serving", "sites"):
        shutil.copytree(
            SITES.parent / folder,
            project / "tests" / folder,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
