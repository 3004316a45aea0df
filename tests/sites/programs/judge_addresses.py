"""Says of each address of an SQLite database what is made of it, or why it is refused."""

import sys
from pathlib import Path

from data.sqlite import database_settings
from environs import ValidationError

for url in sys.argv[1:]:
    try:
        found = database_settings(url, folder=Path("/srv"))
        print(found["NAME"], found["OPTIONS"]["timeout"], found["OPTIONS"]["transaction_mode"])
    except ValidationError as error:
        print("refused:", *error.messages)
