"""A real PostgreSQL and a real Valkey, each on a free port: Debian's packages are enough.

Where the programs are not installed, tests that need them skip and say so.
"""

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.server import PATIENCE, free_port, listens, wait_for

PASSWORD = "sesame/open:@%"  # with letters that a URL would take for its own


def installed(programs: Sequence[str], folders: Sequence[Path] = ()) -> Path:
    """The first of these programs that there is. Skips the test where there is none."""
    path = os.pathsep.join([*map(str, folders), os.environ["PATH"], "/usr/sbin"])
    for program in programs:
        if place := shutil.which(program, path=path):
            return Path(place)
    pytest.skip(f"not installed: {' or '.join(programs)}")


class Service:
    """A server process, which can be stopped and started again on the same port."""

    name: str
    stop_signal: int = signal.SIGTERM

    def __init__(self) -> None:
        self.port = free_port()
        # Programs that refuse to run as root, and the folders of theirs, belong to nobody.
        self.owner = pwd.getpwnam("nobody") if os.getuid() == 0 else None
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.name}-"))
        self.give(self.folder)
        self.log_file = self.folder / "log"
        self.process: subprocess.Popen[bytes] | None = None

    def give(self, path: Path) -> None:
        if self.owner:
            os.chown(path, self.owner.pw_uid, self.owner.pw_gid)

    def command(self) -> list[str | Path]:
        raise AssertionError("each service has its own")

    def popen(self, command: list[str | Path], log: int) -> subprocess.Popen[bytes]:
        owner = self.owner
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
            stdout=log,
            stderr=subprocess.STDOUT,
            user=owner.pw_uid if owner else None,
            group=owner.pw_gid if owner else None,
            extra_groups=[] if owner else None,
        )

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        with self.log_file.open("ab") as log:
            self.process = self.popen(self.command(), log.fileno())
        wait_for(self.answers, f"{self.name}; its log: {self.log_file}")

    def answers(self) -> bool:
        assert self.process
        assert self.process.poll() is None, self.log_file.read_text()
        return listens(self.port)

    def stop(self, number: int | None = None) -> None:
        """Ends it, and waits for the end."""
        if self.process:
            process, self.process = self.process, None
            process.send_signal(number or self.stop_signal)
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()  # or it would compute on, long after the tests
                raise

    def signal(self, number: int) -> None:
        assert self.process
        self.process.send_signal(number)

    def remove(self) -> None:
        if self.process:
            self.process.send_signal(signal.SIGCONT)
        self.stop()
        shutil.rmtree(self.folder)


class Postgres(Service):
    """PostgreSQL, whose superuser is "ada"."""

    name = "postgres"
    stop_signal = signal.SIGINT  # ends open connections

    def __init__(self) -> None:
        debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
        self.programs = installed(["initdb"], debian).resolve().parent
        super().__init__()
        self.data = self.folder / "data"
        self.settings = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",
        }
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        self.give(secret)
        made = self.popen(
            [self.programs / "initdb", "--pgdata", self.data, "--username=ada", "--no-sync",
             "--auth=scram-sha-256", f"--pwfile={secret}", "--encoding=UTF8", "--locale=C.UTF-8"],
            log=subprocess.DEVNULL,
        ).wait(PATIENCE)  # fmt: skip
        assert made == 0, "initdb failed"

    def command(self) -> list[str | Path]:
        options = [f"-c{name}={value}" for name, value in self.settings.items()]
        return [self.programs / "postgres", "-D", self.data, *options]

    def answers(self) -> bool:
        """A socket that is open does not mean that it has started."""
        ask: list[str | Path] = [
            self.programs / "pg_isready",
            "-q",
            "-h127.0.0.1",
            f"-p{self.port}",
        ]
        return super().answers() and subprocess.run(ask, check=False).returncode == 0

    def url(self, name: str = "postgres", *, user: str = "ada", password: str = PASSWORD) -> str:
        return f"postgres://{user}:{quote(password, safe='')}@127.0.0.1:{self.port}/{name}"

    def query(self, statement: str, name: str = "postgres") -> list[str]:
        """The rows of a statement, each as one text."""
        done = subprocess.run(
            [self.programs / "psql", "--no-psqlrc", "-qAtX", f"--command={statement}",
             "--host=127.0.0.1", f"--port={self.port}", "--username=ada", name],
            env={"PGPASSWORD": PASSWORD, "PATH": os.environ["PATH"]},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()


class Valkey(Service):
    """Valkey, or Redis where that is what there is: one protocol."""

    name = "valkey"

    def __init__(self) -> None:
        self.program = installed(["valkey-server", "redis-server"])
        super().__init__()

    def command(self) -> list[str | Path]:
        return [self.program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
                "--appendonly", "no", "--dir", self.folder]  # fmt: skip

    def ask(self, command: str) -> str:
        """What it answers to one command of its protocol's inline form: a line for each value."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as asker:
            asker.sendall(f"{command}\r\nQUIT\r\n".encode())
            with asker.makefile() as answer:
                return answer.read()

    def info(self, name: str) -> str:
        """One value of INFO."""
        (value,) = re.findall(rf"^{name}:(.*)$", self.ask("INFO"), re.MULTILINE)
        return str(value).strip()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"


class PgBouncer(Service):
    """PgBouncer in front of a PostgreSQL server, with few connections to it."""

    name = "pgbouncer"
    stop_signal = signal.SIGINT

    def __init__(self, postgres: Postgres, *, mode: str, pool: int = 5, clients: int = 100) -> None:
        self.program = installed(["pgbouncer"])
        super().__init__()
        users = self.folder / "users"
        users.write_text(f'"ada" "{PASSWORD}"\n')
        self.configuration = self.folder / "pgbouncer.ini"
        self.configuration.write_text(
            f"[databases]\n* = host=127.0.0.1 port={postgres.port}\n[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\n"
            f"auth_type = scram-sha-256\nauth_file = {users}\n"
            f"pool_mode = {mode}\ndefault_pool_size = {pool}\nmax_client_conn = {clients}\n"
        )
        for path in (users, self.configuration):
            self.give(path)

    def command(self) -> list[str | Path]:
        return [self.program, self.configuration]

    def url(self, name: str, user: str = "ada") -> str:
        return f"postgres://{user}:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/{name}"


@contextmanager
def running[S: Service](service: S) -> Iterator[S]:
    """A service for the length of a block."""
    try:
        service.start()
        yield service
    finally:
        service.remove()
