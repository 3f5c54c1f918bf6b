"""The project's `.env`: variables for every command and for the web UI; what the environment has set itself wins."""

import io
import os
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from quant_assets.storage.paths import project_root
from quant_core.errors import DataError

ENV_FILE = ".env"


def read_env_file() -> None:
    """Set each variable of `.env` that the environment lacks; an entry without a value (`NAME=`) says nothing.

    The file lies beside workspace.yaml, or in the working directory where there is none. No error repeats a value.

    Raises:
        DataError: it cannot be read, or a line is no NAME=value; names the file and the line.
    """
    path = project_root() / ENV_FILE
    if not path.is_file():
        return
    text = _text(path)
    for line in parse_stream(io.StringIO(text)):
        if line.error:
            blank = len(line.original.string) - len(line.original.string.lstrip("\n"))
            where = f"{path} line {line.original.line + blank}"
            raise DataError(f"{where}: not of the form NAME=value; correct or remove the line.")
    for name, value in dotenv_values(stream=io.StringIO(text)).items():
        if value:
            os.environ.setdefault(name, value)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as failure:
        why = failure.strerror if isinstance(failure, OSError) else "it is not UTF-8 text"
        raise DataError(f"{path}: cannot be read ({why}); correct or remove the file.") from failure
