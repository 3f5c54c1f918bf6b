"""Where the lab keeps things: QUANT_DATA for tables and artifacts, DAGSTER_HOME for the instance.

Both default to folders of the checkout that holds `workspace.yaml` (or of the working directory where there is none).
"""

import os
import re
from pathlib import Path

from upath import UPath

from quant_assets.storage.object_store import remote_root
from quant_core.errors import DataError

SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=,&^-]*")


def project_root() -> Path:
    """The nearest folder, from here up, that holds workspace.yaml; else this package's checkout; else here."""
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).resolve().parents[2]):
        if (folder / "workspace.yaml").is_file():
            return folder
    return here


def data_root() -> UPath:
    """Root of every table and artifact: QUANT_DATA (a path or an s3:// URL), else `data/` of the project."""
    place = os.environ.get("QUANT_DATA") or ""
    if "://" in place and not place.startswith("file://"):
        return remote_root(place)
    return UPath(place or project_root() / "data")


def dagster_home() -> Path:
    """DAGSTER_HOME, else `dagster_home/` of the project; set in the environment so that Dagster finds it."""
    home = Path(os.environ.get("DAGSTER_HOME") or project_root() / "dagster_home").expanduser().resolve()
    os.environ["DAGSTER_HOME"] = str(home)
    return home


def safe_name(name: str, what: str) -> str:
    """`name` unchanged if it can be one path component; names from outside never become paths unchecked."""
    if not SAFE_NAME.fullmatch(name) or ".." in name:
        raise DataError(f"{what}: {name!r} cannot name a file; use letters, digits and . _ - = only.")
    return name
