"""What is never said: credentials in addresses, and the values of environment variables that hold secrets."""

import os
import re

#: Environment variables whose values never stand in a line, a message or a record.
SECRET_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|WEBHOOK)$")
CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+(?=@)")
SHORTEST_SECRET = 6


def hidden(text: str) -> str:
    """`text` with `***` in the place of secrets."""
    shown = CREDENTIALS.sub("***", text)
    for name, value in os.environ.items():
        if len(value) >= SHORTEST_SECRET and SECRET_NAME.search(name):
            shown = shown.replace(value, "***")
    return shown
