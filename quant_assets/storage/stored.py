"""Stored partitions as checks see them: one after the other, with what is stored around each, and each read once.

Belongs here: reading. What is judged of a partition is in checks.py.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property, lru_cache
from typing import Any

import dagster as dg
import polars as pl
from upath import UPath

from quant_assets.lab import Lab
from quant_assets.storage.partition_files import pointer_path, read_artifact, read_tables, stored_partitions, table_path
from quant_core.features.drift import SortedColumns, sorted_columns, thinned

#: Months whose sorted columns are kept: a year, and the month that is compared with it.
REMEMBERED_MONTHS = 13


@dataclass(frozen=True)
class Subject:
    """The asset that a run is checked on; every month is read once, however many checks and later months look at it.

    Args:
        overrides: what the run set otherwise than the profile.
    """

    lab: Lab
    asset: str
    partitions: dg.TimeWindowPartitionsDefinition
    overrides: Mapping[str, Any]

    @cached_property
    def names(self) -> list[str]:
        """Every partition, in order."""
        return list(self.partitions.get_partition_keys())

    @cached_property
    def settings(self) -> Any:
        """The settings of the run."""
        return self.lab.with_overrides(self.asset, self.overrides)

    @cached_property
    def table(self) -> Callable[[str], pl.DataFrame]:
        """Partition -> the table that is stored of it."""
        return lru_cache(maxsize=1)(lambda name: read_tables([self.path(name)]).collect())

    @cached_property
    def month(self) -> Callable[[str], SortedColumns]:
        """Partition -> its columns sorted; the month before is still there."""
        return lru_cache(maxsize=2)(lambda name: sorted_columns(self.table(name)))

    @cached_property
    def earlier_month(self) -> Callable[[str], SortedColumns]:
        """Partition -> its columns as later months are compared with them."""
        return lru_cache(maxsize=REMEMBERED_MONTHS)(lambda name: thinned(self.month(name)))

    @cached_property
    def there(self) -> Callable[[str], set[str]]:
        """Asset, "" for this one -> its partitions that were stored when it was first asked for."""
        return lru_cache(lambda asset: stored_partitions(self.lab.root, self._key(asset), self.names)[0])

    def path(self, name: str, asset: str = "") -> UPath:
        """File of a month, of this asset or another one."""
        return table_path(self.lab.root, self._key(asset), name)

    def _key(self, asset: str) -> dg.AssetKey:
        return self.lab.key(asset or self.asset)

    def stored(self, name: str) -> "Stored":
        """One of its partitions."""
        window = self.partitions.time_window_for_partition_key(name)
        return Stored(self, name, window.start.date(), window.end.date() - timedelta(days=1))


@dataclass(frozen=True)
class Stored:
    """One stored partition of an asset, as a check sees it: from `first` to `last` day."""

    of: Subject
    name: str
    first: date
    last: date

    def __str__(self) -> str:
        return f"{self.of.lab.profile.name}/{self.of.asset} {self.name}"

    @property
    def table(self) -> pl.DataFrame:
        return self.of.table(self.name)

    @cached_property
    def files(self) -> dict[str, bytes]:
        return read_artifact(pointer_path(self.of.lab.root, self.of.lab.key(self.of.asset), self.name))

    def before(self, number: int, asset: str = "") -> list[str]:
        """Of the `number` partitions before this one, those that are stored, of this asset or another one."""
        position = self.of.names.index(self.name)
        names = self.of.names[max(position - number, 0) : position]
        there = self.of.there(asset)
        return [name for name in names if name in there]

    def with_before(self, number: int, asset: str = "") -> pl.LazyFrame:
        """The partition after what is stored of the `number` before it, of this asset or another one."""
        return read_tables([self.of.path(name, asset) for name in (*self.before(number, asset), self.name)])

    def days_with_before(self, number: int) -> list[date]:
        """Days with rows in the partition and the `number` before it, whose columns may be others."""
        names = (*self.before(number), self.name)
        days = [read_tables([self.of.path(name)]).select(pl.col("date").unique()).collect()["date"] for name in names]
        return pl.concat(days).sort().to_list()

    @cached_property
    def known_until(self) -> date:
        """Last day that rows can be asked for: its last where the next month has rows, else that of its newest row."""
        following = self.of.names[self.of.names.index(self.name) + 1 :][:1]
        paths = [path for name in following if (path := self.of.path(name)).exists()]
        if paths and read_tables(paths).select(pl.len()).collect().item():
            return self.last
        newest = self.table["date"].max()
        return newest if isinstance(newest, date) else self.first - timedelta(days=1)


def tables_of(partitions: Sequence[Stored], columns: Sequence[str]) -> list[pl.DataFrame]:
    """Some columns of the stored tables of some partitions, all read at once."""
    return pl.collect_all([read_tables([one.of.path(one.name)]).select(columns) for one in partitions])
