"""The tasks that keep the table of tasks small."""

import logging
from io import StringIO

from django.core.management import call_command
from django.tasks import task

logger = logging.getLogger(__package__)


@task
def prune(older_than: str = "7d") -> None:
    """Deletes tasks that ended well or were discarded so long ago; those that failed are kept for a retry."""
    said = StringIO()  # which would else be no record of the log
    call_command("ox_prune", older_than=older_than, stdout=said)
    logger.info("%s", " ".join(said.getvalue().split()))
