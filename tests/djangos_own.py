"""Runs Django's own tests with a generated project's handler in place of Django's.

    python -m tests.djangos_own

They come from Django's source distribution, of the version that a generated project installs.

tests/serving/http/djangos_own.py says how they meet.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile

from tests.conftest import BUILD, ROOT, bake_into, clean_environment

FOLDER = BUILD / "django"
INSIDE = ROOT / "tests" / "serving" / "http" / "djangos_own.py"

# Each line is a process, so that they end at about the same time.
LABELS = (
    "auth_tests i18n.patterns template_tests.test_response test_exceptions resolve_url",
    "asgi async conditional_processing context_processors contenttypes_tests csrf_tests decorators"
    " file_uploads flatpages_tests generic_views handlers i18n.tests.LocaleMiddlewareTests logging_tests"
    " messages_tests middleware middleware_exceptions redirects_tests requests_tests responses servers"
    " sessions_tests shortcuts signals signed_cookies_tests sitemaps_tests sites_tests staticfiles_tests"
    " test_client test_client_regress urlpatterns urlpatterns_reverse view_tests wsgi",
)

LEAVING = "a client that leaves is noticed 20 ms after its request has begun, not before a fast view answers"
UNREAD = (
    "where no body can follow, none is waited for, nor a client that left before its request began"
)
ASYNC_LOG = "a first log record says how the chain was adapted, as with Django's own chain of the event loop"
EXPECTED = {
    "asgi.tests.ASGITest.test_assert_in_listen_for_disconnect": LEAVING,
    "asgi.tests.ASGITest.test_disconnect": UNREAD,
    "asgi.tests.ASGITest.test_disconnect_with_body": LEAVING,
    "middleware_exceptions.tests.MiddlewareNotUsedTests.test_log": ASYNC_LOG,
    "middleware_exceptions.tests.MiddlewareNotUsedTests.test_log_custom_message": ASYNC_LOG,
    "middleware_exceptions.tests.MiddlewareSyncAsyncTests.test_async_middleware": ASYNC_LOG,
}
if os.geteuid() == 0:
    EXPECTED["file_uploads.tests.DirectoryCreationTests.test_readonly_root"] = (
        "root may write anywhere"
    )


def main() -> int:
    """Prepares a project and Django's tests, runs them, and tells what failed; the exit status."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(FOLDER / "my-project", ignore_errors=True)
    project = bake_into(FOLDER)
    environment = FOLDER / "environment"
    variables = clean_environment() | {"UV_PROJECT_ENVIRONMENT": str(environment)}
    uv, python = ROOT / ".venv" / "bin" / "uv", environment / "bin" / "python"
    subprocess.run([uv, "sync", "--quiet"], cwd=project, env=variables, check=True)
    install = "pip install --quiet docutils jinja2 tblib --python"
    subprocess.run([uv, *install.split(), python], env=variables, check=True)
    version = subprocess.run(
        [python, "-m", "django", "--version"], check=True, capture_output=True, text=True
    ).stdout.strip()
    source = FOLDER / f"django-{version}"
    if not source.exists():
        download = f"tool run pip download --quiet --no-deps --no-binary django django=={version}"
        subprocess.run([uv, *download.split()], cwd=FOLDER, env=variables, check=True)
        with tarfile.open(FOLDER / f"django-{version}.tar.gz") as packed:
            packed.extractall(FOLDER, filter="data")

    logs = [FOLDER / f"tests-{number}.log" for number in range(len(LABELS))]
    running: list[subprocess.Popen[bytes]] = []
    for labels, log in zip(LABELS, logs, strict=True):
        command = [str(python), str(INSIDE), str(source), str(project), *labels.split()]
        with log.open("w") as output:
            running.append(subprocess.Popen(command, env=variables, stdout=output, stderr=output))
    ended = [process.wait() for process in running]
    return judge("".join(log.read_text() for log in logs), ended)


def judge(output: str, ended: list[int]) -> int:
    """Tells which failures were expected; the exit status."""
    counts = [int(count) for count in re.findall(r"^Ran (\d+) tests", output, re.MULTILINE)]
    failed = set(re.findall(r"^(?:FAIL|ERROR): \S+ \(([\w.]+)", output, re.MULTILINE))
    for name in sorted(failed & EXPECTED.keys()):
        print(f"expected: {name}: {EXPECTED[name]}")
    whole = len(counts) == len(LABELS) and all(status in (0, 1) for status in ended)
    wrong = sorted(failed ^ EXPECTED.keys())
    if wrong or not whole:
        print(output)
        print("otherwise than expected:", ", ".join(wrong) or f"the processes ended with {ended}")
    print(f"{sum(counts) - len(failed)} passed, {len(wrong)} failed")
    return 1 if wrong or not whole else 0


if __name__ == "__main__":
    sys.exit(main())
