"""Generates a project with the defaults, serves it, and says where: `make demo`.

The address comes behind the lines that the server logs at its start, where it is seen.
"""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

FOLDER = Path("build/demo")
POLL = 0.2  # seconds


def answers(address: str) -> bool:
    """Whether a server answers there, asked without the proxy of a company."""
    with contextlib.suppress(OSError):
        return bool(build_opener(ProxyHandler({})).open(f"{address}livez", timeout=2).status == 200)
    return False


def main() -> int:
    """The exit status of what failed, or of the server."""
    cookiecutter = [Path(sys.executable).parent / "cookiecutter", ".", "--no-input"]
    # Of the Python that is here: the machine may have no other, and no way to fetch one.
    python = f"python_version={sys.version_info.major}.{sys.version_info.minor}"
    generated = subprocess.run(
        [*cookiecutter, "--output-dir", FOLDER, python], stdout=subprocess.DEVNULL, check=False
    )
    if generated.returncode:
        return generated.returncode
    (project,) = [path for path in FOLDER.resolve().iterdir() if (path / "manage.py").exists()]
    uv = os.path.relpath(".venv/bin/uv", project)  # no spaces, where the folders above have some
    make = ["make", "-C", project, "--no-print-directory", f"UV={uv}"]
    if status := subprocess.run([*make, "setup"], check=False).returncode:
        return status
    server = subprocess.Popen([*make, "run"])
    try:
        address = f"http://127.0.0.1:{os.environ.get('PORT') or 8000}/"
        while not answers(address):
            if server.poll() is not None:
                return server.returncode
            time.sleep(POLL)
        print(f"\nThe project in {project}/ answers on {address} (Ctrl-C stops it)", flush=True)
        return server.wait()
    except KeyboardInterrupt:  # the server has the signal too
        return server.wait()


if __name__ == "__main__":
    sys.exit(main())
