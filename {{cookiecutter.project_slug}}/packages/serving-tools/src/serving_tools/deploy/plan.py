"""How many pods, threads and database connections a load takes; `make plan` calls it.

    REQUESTS=2000 VIEW_MS=20 CPU_MS=2 CONNECTIONS=100 python3 -m serving_tools.deploy.plan

REQUESTS a second, of which each takes a thread for VIEW_MS milliseconds, as the access log has it, and computes for
CPU_MS of them: all, unless given. CONNECTIONS are those that the database allows; where there is
WORKER_REPLICAS, so many workers of background tasks have theirs of it, for WORKER_CONCURRENCY (4) at once. A thread
that waits for the database keeps its connection; a worker computes on one core, whatever the number of its threads.
"""

from __future__ import annotations

import math
import os
import sys
from dataclasses import dataclass

BUSY = 0.7  # of a core or of the threads: above it requests wait for each other
MORE = 2  # pods that there are in a deployment besides: one that starts, and one that ends
PODS_MIN = 3  # one a zone; minReplicas in web.yaml

# As data/connections.py has them.
THREADS_MAX = 64
RESERVE = 10
TASK_WORKER = 4


@dataclass(frozen=True)
class Plan:
    """What a load takes. `clients`: connections that the pods may open to the database, or to the pooler before it."""

    cores: float
    busy: float
    pods: int
    threads: int
    clients: int
    pooled: bool
    most: float  # requests a second, where all threads or all cores are busy


def threads_of(allowed: int, pods: int) -> int:
    """The threads that settings give each pod of so many connections, where WEB_REPLICAS is one more than the pods."""
    return min(THREADS_MAX, max(1, (allowed - RESERVE) // (pods + MORE) - 1))


def of_tasks(replicas: int, concurrency: int) -> int:
    """The connections that settings leave to so many workers of background tasks, which run so many at once."""
    return (replicas + 1) * (concurrency + TASK_WORKER)


def plan(requests: float, view_ms: float, cpu_ms: float, connections: int, tasks: int = 0) -> Plan:
    cores, busy = requests * cpu_ms / 1000, requests * view_ms / 1000
    wanted = math.ceil(busy / BUSY)
    pods = max(PODS_MIN, math.ceil(cores / BUSY), math.ceil(wanted / THREADS_MAX))
    threads = threads_of(connections - tasks, pods)
    needed = max(1, math.ceil(wanted / pods))
    if pooled := threads < needed or (pods + MORE) * 2 + RESERVE + tasks > connections:
        threads = needed
    clients = (pods + MORE) * (threads + 1) + RESERVE + tasks
    most = min(pods * threads / view_ms, pods / cpu_ms) * 1000
    return Plan(cores, busy, pods, threads, clients, pooled, most)


def table(made: Plan, connections: int, requests: float) -> str:
    # The autoscaler adds pods by CPU time: those that wait for threads it would not add.
    by_cpu = max(PODS_MIN, math.ceil(made.cores / BUSY))
    where = "maxReplicas" if made.pods == by_cpu else "minReplicas and maxReplicas"
    pool = connections - RESERVE
    rows = [
        ("busy", f"{made.cores:.1f} cores, {made.busy:.1f} threads", ""),
        ("pods", made.pods, f"{where} in web.yaml; WEB_REPLICAS in server.env is one more"),
        (
            "threads",
            f"{made.threads} a pod",
            "SERVING_THREADS; settings reckon it of the pods and connections",
        ),
    ]
    if made.pooled:
        rows += [
            (
                "connections",
                made.clients,
                f"more than {connections}: a pooler, DATABASE_POOLER=transaction",
            ),
            (
                "",
                "",
                f"PgBouncer: max_client_conn = {made.clients}, default_pool_size = {pool}",
            ),
            (
                "",
                "",
                f"enough while a request's transactions take {BUSY * pool / requests * 1000:.3g} ms at most",
            ),
            ("", "", f"server.env: DATABASE_MAX_CONNECTIONS={made.clients}"),
        ]
    else:
        rows.append(
            ("connections", made.clients, f"DATABASE_MAX_CONNECTIONS={connections}; no pooler")
        )
    rows.append(("at most", f"{made.most:,.0f} a second", "then requests wait"))
    return "\n".join(f"{what:<12} {value!s:<28} {note}".rstrip() for what, value, note in rows)


def number(name: str, default: str = "") -> float:
    """A variable. Raises ValueError, in one line, where it is no number above 0."""
    given = os.environ.get(name) or default
    try:
        value = float(given)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e9:
        raise ValueError(
            f"{name}={given!r} is no number above 0; try `make plan REQUESTS=2000 VIEW_MS=20 CPU_MS=2`"
        )
    return value


def main() -> int:
    try:
        requests, view_ms = number("REQUESTS"), number("VIEW_MS")
        cpu_ms = number("CPU_MS", str(view_ms))
        connections = int(number("CONNECTIONS", "100"))
        if cpu_ms > view_ms:
            raise ValueError(
                f"CPU_MS={cpu_ms:g} is more than VIEW_MS={view_ms:g}, of which it is a part"
            )
        tasks = 0
        if replicas := os.environ.get("WORKER_REPLICAS"):
            workers = 0 if replicas == "0" else int(number("WORKER_REPLICAS"))
            tasks = of_tasks(workers, int(number("WORKER_CONCURRENCY", "4")))
        if connections <= RESERVE + tasks:
            raise ValueError(
                f"CONNECTIONS={connections} leaves none but the {RESERVE} for people and {tasks} for tasks; give"
                " more"
            )
    except ValueError as error:
        print(f"plan: {error}", file=sys.stderr)
        return 1
    print(table(plan(requests, view_ms, cpu_ms, connections, tasks), connections, requests))
    return 0


if __name__ == "__main__":
    sys.exit(main())
