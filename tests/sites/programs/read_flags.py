"""Prints the server's flags as Granian's own command reads them; it would go on to serve."""

import json

from granian.cli import cli

flags = cli.make_context(
    "granian", ["config.asgi:application"], auto_envvar_prefix="GRANIAN"
).params
print(
    json.dumps(
        {name: flags[name] for name in ("interface", "loop", "workers", "log_access_enabled")}
        | {"log_level": flags["log_level"].value}
    )
)
