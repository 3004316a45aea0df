"""Errors by which a Valkey server that answers does not serve, and what to do about each."""

import re

from redis.exceptions import AuthenticationError, InvalidResponse

# The first word of such an answer, and what to do about it.
# https://valkey.io/topics/protocol/#simple-errors
REFUSALS: dict[str | None, str] = {
    "OOM": "it is full: raise its maxmemory, or set its maxmemory-policy to allkeys-lru",
    "NOREPLICAS": "it has too few replicas: start them, or lower its min-replicas-to-write",
    "MISCONF": "it can't save to its disk: look at its log and its disk",
    "READONLY": "it is a replica: correct CACHE_URL, or wait for it to be made primary",
    "NOPERM": "its ACL does not permit the command to this user: correct the ACL, or CACHE_URL",
    "NOAUTH": "it asks for a password: correct CACHE_URL",
    "WRONGPASS": "it refuses the user or the password: correct them in CACHE_URL",
    "MASTERDOWN": "it is a replica that has lost its primary: start that, or correct CACHE_URL",
    "LOADING": "it loads its data: wait for it",
    "BUSY": "it is busy with a script: `SCRIPT KILL` ends that",
    "UNKILLABLE": "it is busy with a script: wait for it",
    "CLUSTERDOWN": "its cluster is down: start the nodes that are missing",
    "MOVED": "it is one node of a cluster: CACHE_URL must name a server that is in none",
    "ASK": "it is one node of a cluster: CACHE_URL must name a server that is in none",
    "TRYAGAIN": "it is one node of a cluster: CACHE_URL must name a server that is in none",
    "CROSSSLOT": "it is one node of a cluster: CACHE_URL must name a server that is in none",
    "ERR DB": "it has no such database number: correct CACHE_URL",
    "ERR clients": "it has no connection left: raise its maxclients",
    "ERR limit": "its provider's limit is reached: raise that, or wait",
    "ERR command": "it lacks a command, as a Sentinel does: CACHE_URL must name the server itself",
    "DENIED": "it is in protected mode: give it a password and write that into CACHE_URL",
    "NOPROTO": "it does not speak this protocol: correct the protocol in CACHE_URL",
    "PROTOCOL": "what answers is no Valkey: correct host and port in CACHE_URL",
}
# Those that only a person ends.
LASTING = {
    "NOPERM", "NOAUTH", "WRONGPASS", "MOVED", "ASK", "TRYAGAIN", "CROSSSLOT", "ERR DB", "ERR command",
    "DENIED", "NOPROTO", "PROTOCOL",
}  # fmt: skip


def refusal(error: Exception) -> str | None:
    """The key in REFUSALS for what a server said; None for a mistake in the call itself.

    WRONGTYPE and "value is not an integer" are such mistakes.
    """
    said = str(error)
    if isinstance(error, InvalidResponse):
        return "PROTOCOL"
    if isinstance(error, AuthenticationError):
        return "NOAUTH" if getattr(error, "status_code", None) == "NOAUTH" else "WRONGPASS"
    # redis-py cuts off the codes that it knows; open in 8.1.0:
    # https://github.com/redis/redis-py/blob/v8.1.0/redis/_parsers/base.py#L113-L121
    # It puts the command, which may hold anything, in front of a pipeline's error; open in 8.1.0:
    # https://github.com/redis/redis-py/issues/3491
    code = getattr(error, "status_code", None) or ""
    if code in {"", "ERR"}:
        said = said.rpartition("of pipeline caused error: ")[2]
        if re.match(r"(DB index|invalid DB index|SELECT is not allowed)", said):
            return "ERR DB"
        if said.startswith("max number of clients"):
            return "ERR clients"
        if re.match(r"max (daily|monthly) request limit", said):
            return "ERR limit"
        if said.startswith("unknown command"):
            return "ERR command"
        code = said.partition(" ")[0]
    return code if code in REFUSALS else None


def advice(reason: str | None, error: Exception) -> str:
    """What to do about a refusal. Only a command's name is shown of what the server said."""
    said = str(error).rpartition("of pipeline caused error: ")[2]
    command = re.search(r"to run the '([a-z|]+)' command", said)
    return REFUSALS.get(reason, said) + (f" ({command[1].upper()})" if command else "")
