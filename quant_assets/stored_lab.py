"""What a lab has stored, for people: notebooks and scripts read tables and fits by name, no path and no run needed.

Belongs here: reading. Assets get their inputs from the IO manager, checks from `stored.py`.
"""

import os
from dataclasses import dataclass
from functools import cached_property

import dagster as dg
import polars as pl
from upath import UPath

from quant_assets.storage.partition_files import pointer_path, read_artifact, read_tables, table_path
from quant_assets.storage.paths import data_root, safe_name
from quant_assets.storage.table_files import read_table
from quant_core.errors import DataError
from quant_core.fitted import Fitted

TABLE, ARTIFACT = ".parquet", ".json"
#: What lies beside a profile's assets and is none: the register of everything that was tried.
REGISTER = "trials"


def open_lab(profile: str | None = None, data: str | UPath | None = None) -> "StoredLab":
    """The stored assets of a profile.

    Args:
        profile: name as it stands before an asset's: `demo`, `nifty50_files`; default: QUANT_PROFILE, else `demo`.
        data: root of all data; default: QUANT_DATA, else `data/` of the project.
    Raises:
        DataError: nothing of the profile is stored there.
    """
    root = data_root() if data is None else UPath(data)
    name = profile or os.environ.get("QUANT_PROFILE") or "demo"
    lab = StoredLab(safe_name(name, "profile"), root)
    if not lab.assets:
        known = [folder.name for folder in sorted(root.iterdir()) if _is_profile(folder)] if root.exists() else []
        raise DataError(
            f"{root}: nothing of the profile {name} is stored (there is {', '.join(known) or 'nothing'}); make it "
            f"with `quant run --profile {name}`, or give the folder of the data."
        )
    return lab


@dataclass(frozen=True)
class StoredLab:
    """Everything that one profile has stored.

    Months are written 2020-03, folds 2020 (2020-04 where a profile fits every quarter), other partitions by their key.
    """

    profile: str
    root: UPath

    @cached_property
    def assets(self) -> dict[str, list[str]]:
        """Asset -> its stored partitions, oldest first."""
        folder = self.root / self.profile
        found = {path.name: self._partitions(path) for path in sorted(folder.iterdir())} if folder.exists() else {}
        return {asset: names for asset, names in found.items() if names}

    def table(self, asset: str, first: str | None = None, last: str | None = None) -> pl.DataFrame:
        """Rows of a table asset, from month `first` to month `last` (default: all that is stored).

        Raises:
            DataError: no such asset or month is stored, or the asset stores no table of its own.
        """
        return self.scan(asset, first, last).collect()

    def scan(self, asset: str, first: str | None = None, last: str | None = None) -> pl.LazyFrame:
        """As `table`, read when it is collected: a query that needs few columns or rows reads no more."""
        months = [name for name in self.partitions(asset) if (first or "") <= name <= (last or "9999")]
        if not months:
            raise DataError(f"{self._named(asset)}: nothing from {first} to {last}; {self._span(asset)}.")
        if not self._path(asset, months[0]).exists():
            raise DataError(f"{self._named(asset)}: files of a fold, no table; read it by part(asset, name).")
        return read_tables([self._path(asset, month) for month in months])

    def part(self, asset: str, name: str, fold: str | None = None) -> pl.DataFrame:
        """The table `name` inside an artifact asset, e.g. `part("backtest", "daily")`; of the newest fold by default.

        Raises:
            DataError: no such asset, fold or table is stored.
        """
        files = self.files(asset, fold)
        if f"{name}{TABLE}" not in files:
            known = sorted(file.removesuffix(TABLE) for file in files if file.endswith(TABLE))
            raise DataError(f"{self._named(asset)}: no table {name!r}; there is {', '.join(known) or 'none'}.")
        return read_table(files, name)

    def files(self, asset: str, fold: str | None = None) -> dict[str, bytes]:
        """The files of an artifact asset, by name; of the newest fold by default.

        Raises:
            DataError: no such asset or fold is stored, or the asset stores tables.
        """
        chosen = fold or self.partitions(asset)[-1]
        pointer = pointer_path(self.root, self.key(asset), chosen)
        if not pointer.exists():
            told = f"{self._span(asset)}; months are read by table()"
            raise DataError(f"{self._named(asset)}: no files of {chosen}; {told}.")
        return read_artifact(pointer)

    def fitted(self, asset: str, fold: str | None = None) -> Fitted:
        """What was fitted for a fold, the newest by default: arrays, manifest and learning curve."""
        return Fitted.from_bytes(self.files(asset, fold), self._named(asset))

    def partitions(self, asset: str) -> list[str]:
        """Stored partitions of an asset, oldest first.

        Raises:
            DataError: nothing of it is stored.
        """
        if asset not in self.assets:
            raise DataError(f"{self._named(asset)}: nothing is stored; there is {', '.join(self.assets)}.")
        return self.assets[asset]

    def all_of(self, kind: str) -> list[str]:
        """Stored assets whose name begins with `kind`, e.g. `all_of("forecasts_")`."""
        return [asset for asset in self.assets if asset.startswith(kind)]

    def _partitions(self, folder: UPath) -> list[str]:
        if not folder.is_dir() or folder.name == REGISTER:
            return []
        return sorted({path.stem for path in folder.iterdir() if _is_partition(path)})

    def key(self, asset: str) -> dg.AssetKey:
        """The asset's key in Dagster."""
        return dg.AssetKey([self.profile, asset])

    def _path(self, asset: str, month: str) -> UPath:
        return table_path(self.root, self.key(asset), month)

    def _named(self, asset: str) -> str:
        return f"{self.root}/{self.profile}/{asset}"

    def _span(self, asset: str) -> str:
        names = self.partitions(asset)
        return f"stored is {names[0]} to {names[-1]}"


def _is_profile(folder: UPath) -> bool:
    return folder.is_dir() and folder.name[:1] != "." and folder.name != "mlflow"


def _is_partition(path: UPath) -> bool:
    """Whether a file is a month's table or names a fold's files; what is being written begins with a dot."""
    return path.suffix in (TABLE, ARTIFACT) and path.stem[:1] != "."
