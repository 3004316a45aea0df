"""Puts containers of the newest image in the place of those that run; `make deploy` calls it.

    python3 -m serving_tools.deploy.replace

One by one and without losing a request: a new one must be ready before an old one is told to stop. Those that
run background tasks go first, so that nobody enqueues what none of them knows; on the way back, last. Where
it never is, where the migrations fail, where a build takes the image's name meanwhile, or on Ctrl-C, SIGTERM
or SIGHUP, the new one is removed and the old ones stay. The proxy must run: it finds the containers that there
are. In the end there are as many as WEB_REPLICAS says, whatever an earlier deployment that was killed has left
behind.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from serving_tools.deploy import proxy
from serving_tools.deploy.engine import (
    ENGINE,
    ONEOFF,
    PROJECT,
    SERVICE,
    STOP,
    EngineError,
    ask,
    inspect,
    labelled,
    write_line,
)
from serving_tools.deploy.engine import configuration as read_configuration
from serving_tools.deploy.images import Images
from serving_tools.deploy.lock import Held, lock

# As long as LIFESPAN_STARTUP_TIMEOUT (30) and Django itself may take.
READY_WITHIN = 40.0  # seconds
POLL = 0.5  # seconds

HEALTHCHECK = ("python", "-I", "-m", "serving_tools.healthcheck")

# What must succeed in a container of a service before it counts; in the order in which they are replaced.
READY = {
    "worker": (*HEALTHCHECK, "--heartbeat", "/tmp/worker"),  # noqa: S108 - in the container
    "web": (*HEALTHCHECK, "/readyz"),
}


class Failed(Exception):
    """The deployment can't go on; the text says why."""


class Interrupted(Exception):
    """This process was told to stop, by the signal `number`."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Interruption:
    """Notes the order to stop; `check` obeys it, at points where everything can still be undone.

    A second order changes nothing: undoing takes seconds, and stopping it would leave a half-done deployment.
    """

    def __init__(self) -> None:
        self.number = 0
        for number in STOP:
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if not self.number:
            self.number = number
            say(f"{signal.Signals(number).name}: undoing what is half done")

    def end(self) -> None:
        """Ignores further orders: while Python shuts down, its handlers are gone and a signal would kill it."""
        for number in STOP:
            signal.signal(number, signal.SIG_IGN)

    def check(self) -> None:
        """Raises Interrupted if the order has come."""
        if self.number:
            raise Interrupted(self.number)


def say(line: str) -> None:
    write_line(f"deploy: {line}")


def short(container: str) -> str:
    return container[:12]


def ended(process: subprocess.Popen[bytes], *, within: float) -> int | None:
    """A process's exit status, if it has one within so many seconds."""
    try:
        return process.wait(within)
    except subprocess.TimeoutExpired:
        return None


def containers(project: str, service: str, *, oneoff: bool = False) -> list[dict[str, Any]]:
    """What the engine knows of a service's containers, running or not, the oldest first."""
    labels = {PROJECT: project, SERVICE: service, ONEOFF: str(oneoff)}
    found = inspect("container", *labelled("container", **labels))
    return sorted(found, key=lambda entry: str(entry["Created"]))


def check_migrations(project: str) -> None:
    """Raises Failed where migrations run in a container of their own; removes one in which they have ended."""
    for found in containers(project, "migrate", oneoff=True):
        container = found["Id"]
        if found["State"]["Running"]:
            raise Failed(
                f"migrations run already, in container {short(container)}: wait for them, or end them with"
                f" `{ENGINE} rm --force {short(container)}`"
            )
        ask("rm", "--force", container)


class Deployment:
    """One run. `new` are the containers of a service that it has made and that serve.

    `back_to` is the id of the image that a rollback has given the name which Compose makes containers of.
    """

    def __init__(self, interruption: Interruption, *, back_to: str | None = None) -> None:
        self.interruption, self.goes_back = interruption, back_to is not None
        self.configured = configured = read_configuration()
        self.project: str = configured["name"]
        self.images = Images(configured)
        self.image = back_to or self.images.id_of(self.images.tag)
        self.replicas = {
            service: int(configured["services"][service].get("deploy", {}).get("replicas", 1))
            for service in (reversed(READY) if self.goes_back else READY)
            if service in configured["services"]
        }
        self.service, self.wanted, self.new = "web", self.replicas["web"], list[str]()

    def run(self) -> None:
        """Raises Failed, Interrupted or EngineError; then nothing is left half done."""
        self._check()
        self._remove_what_serves_nothing()
        self._migrate()
        replaced, done = self.images.running(), list[str]()
        for service, wanted in self.replicas.items():
            self.service, self.wanted, self.new = service, wanted, []
            try:
                self._replace_all()
            except (Failed, Interrupted, EngineError):
                if done:
                    back, on = ("deploy", "rollback") if self.goes_back else ("rollback", "deploy")
                    say(
                        f"every {done[0]} is replaced already: `make {back}` puts that back, `make {on}` goes on"
                    )
                raise
            done.append(service)
        self.images.note_replaced(next(iter(replaced), None))

    def _replace_all(self) -> None:
        """Replaces the containers of a service, and leaves as many as are wanted."""
        old = self._containers()
        for number in range(self.wanted):
            self._replace(old, number + 1)
        for container in old:  # there are to be fewer than there were
            self._stop(container)
        self._check_those_in_place()

    def _check(self) -> None:
        """Raises Failed for what is wrong before anything is changed."""
        running = [each for each in self._containers("proxy") if self._state(each)["Running"]]
        if not running:
            raise Failed(
                "no proxy runs; set COMPOSE_FILE=compose.yaml:compose.proxy.yaml in .env, and `make up`"
            )
        # On the way back the servers know less than the proxy, which does no harm.
        if not self.goes_back and (newer := proxy.what_is_newer(running[0], self.configured)):
            raise Failed(
                f"the proxy is older than {newer}, and a deployment leaves it as it is:"
                f" `{' '.join((ENGINE, *proxy.MAKE_ANEW))} proxy` (some seconds without an answer), then again"
            )
        self._check_needed()
        if self.replicas["web"] < 1:
            raise Failed(
                f"WEB_REPLICAS={self.replicas['web']} would leave nobody to answer; `make down` stops all"
            )
        if not self.image:
            raise Failed(f"there is no image {self.images.name}; `make build` builds it")
        check_migrations(self.project)

    def _check_needed(self) -> None:
        """Raises Failed where what the servers need, as a database, does not run, or ran before it was changed.

        Compose would start or replace it together with the migrations, and all servers would lose it for that time.
        """
        services = self.configured["services"]
        needed = {
            name
            for each in ("migrate", *self.replicas)
            for name, how in services.get(each, {}).get("depends_on", {}).items()
            if how.get("condition") != "service_completed_successfully"
            and how.get("required", True)
        }
        for name in sorted(needed - self.replicas.keys()):
            found = containers(self.project, name)
            command = " ".join((ENGINE, *proxy.MAKE_ANEW, "--wait", name))
            if not any(each["State"]["Running"] for each in found):
                raise Failed(
                    f"no {name} runs, and a deployment starts none: `{command}`, then again"
                )
            if not self.goes_back and any(proxy.differs(each, services[name]) for each in found):
                raise Failed(
                    f"the {name} is older than what Compose's files and .env say of it, and a deployment leaves it"
                    f" as it is: `{command}` (some seconds without it), then again"
                )

    def _remove_what_serves_nothing(self) -> None:
        """Removes containers that Compose would start again, and count."""
        for service in self.replicas:
            for container in self._containers(service):
                if self._state(container)["Status"] in {"created", "dead", "exited"}:
                    say(f"{short(container)} has ended, so it is removed")
                    ask("rm", "--force", container)

    def _migrate(self) -> None:
        """Migrates, in a container of its own and no other touched. Raises Failed if that fails, Interrupted if told to stop."""
        running = subprocess.Popen(
            [ENGINE, "compose", "run", "--rm", "-T", "--no-deps", "migrate"],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            while (status := ended(running, within=0.1)) is None:
                self.interruption.check()
            self.interruption.check()  # it may have hit that command too, before its session was made
        except Interrupted:
            # Python as process 1 obeys no other signal, and rolls its transaction back.
            for container in self._containers("migrate", oneoff=True):
                self._undo("kill", "--signal=INT", container)
            if ended(running, within=10) is None:
                running.kill()
            for container in self._containers("migrate", oneoff=True):
                self._undo("rm", "--force", container)
            raise
        if status:
            raise Failed("the migrations failed; what runs stays as it is")

    def _replace(self, old: list[str], number: int) -> None:
        """Makes one container and stops one of `old`. If anything fails before that stop, undoes the first."""
        self._check_image(self.images.id_of(self.images.tag))
        before = self._containers()
        new: list[str] = []
        try:
            try:
                ask(
                    "compose", "up", "--detach", "--no-deps", "--no-recreate", "--no-build",
                    "--pull=never", "--scale", f"{self.service}={len(before) + 1}", self.service,
                )  # fmt: skip
            finally:
                new = [container for container in self._containers() if container not in before]
            for found in inspect("container", *new):
                self._check_image(found["Image"])
            for container in new:
                self._wait_until_ready(container)
            self._check_those_in_place()
            self.interruption.check()
        except (Failed, Interrupted, EngineError):
            for container in new:
                # One that was ready has requests of the proxy's already.
                self._undo("stop", container)
                self._undo("rm", "--force", container)
            raise
        self.new += new
        place = "beside those there are"
        if old:
            old.sort(key=self._is_ready)  # those that do not serve go first
            place = f"in the place of {short(old[0])}"
            self._stop(old.pop(0))
        of = self.wanted if self.service == "web" else f"{self.wanted} {self.service}s"
        say(f"{', '.join(map(short, new))} is {place} ({number} of {of})")
        self.interruption.check()

    def _wait_until_ready(self, container: str) -> None:
        """Raises Failed, and shows its log, if it ends or does not become ready in time."""
        deadline = time.monotonic() + READY_WITHIN
        while not self._is_ready(container):
            self.interruption.check()
            found = inspect("container", container)
            # The engine restarts a container that ended.
            if not found or not found[0]["State"]["Running"] or found[0].get("RestartCount"):
                why = "has ended: it"
                break
            if time.monotonic() >= deadline:
                why = f"is up for {READY_WITHIN:g} s and"
                break
            time.sleep(POLL)
        else:
            return
        say(f"the new container {why} does not become ready, so it is removed; it says:")
        subprocess.run([ENGINE, "logs", "--tail=20", container], stdout=sys.stderr, check=False)
        raise Failed(f"{len(self.new)} of {self.wanted} are replaced, the others stay as they are")

    def _check_image(self, found: str | None) -> None:
        """Raises Failed if a container is, or would be, of another image than the one whose migrations have run.

        Compose knows it by its name, which a build that ends meanwhile takes.
        """
        if found != self.image:
            image = self.images.called(str(self.image))
            again = f"make rollback TAG={image}" if self.goes_back else "make deploy"
            raise Failed(
                f"{self.images.name} is no longer {image}, whose migrations have run: a build has ended meanwhile."
                f" {len(self.new)} of {self.wanted} are replaced, the others stay as they are; `{again}` replaces all"
            )

    def _check_those_in_place(self) -> None:
        """Raises Failed if one that was ready is so no longer: the old ones must not go as well."""
        if lost := [container for container in self.new if not self._is_ready(container)]:
            inspect("container", *lost)  # raises EngineError where it is the engine that is gone
            raise Failed(
                f"{', '.join(map(short, lost))} was ready and is so no longer, so the others stay; see `make logs`"
            )

    def _is_ready(self, container: str) -> bool:
        try:
            ask("exec", container, *READY[self.service])
        except EngineError:
            return False
        return True

    def _stop(self, container: str) -> None:
        """Lets it finish its requests. Somebody else may have removed it already."""
        for command in ("stop", "rm"):
            try:
                ask(command, container)
            except EngineError:
                if inspect("container", container):
                    raise

    def _undo(self, *command: str) -> None:
        """Runs a command that may fail: the rest must still be undone."""
        try:
            ask(*command)
        except EngineError as error:
            say(f"{error}; the next `make deploy` removes what is left over")

    def _containers(self, service: str = "", *, oneoff: bool = False) -> list[str]:
        """The ids of a service's containers; of none said, of that in hand."""
        found = containers(self.project, service or self.service, oneoff=oneoff)
        return [str(entry["Id"]) for entry in found]

    def _state(self, container: str) -> dict[str, Any]:
        found = inspect("container", container)
        state: dict[str, Any] = found[0]["State"] if found else {"Running": False, "Status": "gone"}
        return state


def guarded(run: Callable[[Interruption], None], tell: Callable[[str], None]) -> int:
    """The exit status of a run that has the lock: 0, 1 where it failed, 128 and the signal's number."""
    interruption = Interruption()
    try:
        with lock():
            run(interruption)
    except Held as error:
        tell(f"another one runs ({error}); wait for it")
    except (Failed, EngineError) as error:
        tell(str(error))
    except Interrupted as error:
        return 128 + error.number
    else:
        return 0
    finally:
        interruption.end()
    return 1


if __name__ == "__main__":
    sys.exit(guarded(lambda interruption: Deployment(interruption).run(), say))
