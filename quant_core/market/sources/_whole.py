"""What only all rows of a folder tell, whatever the span: its names, the files that are no day's prices, first days."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path

import polars as pl

from quant_core.errors import DataError
from quant_core.market.action_list import usable_actions
from quant_core.market.actions import no_actions, with_known_actions
from quant_core.market.reading.identity import BSE
from quant_core.market.sources._chosen import have_doubles, many_a_day, named_rows, other_series, several_closes
from quant_core.market.sources._file_settings import FileSettings
from quant_core.market.sources._folder import NONE, Folder, PriceFile
from quant_core.market.sources._names import AS_THEY_ARE, NAMED, OF_THE_DAY, Names, find_names
from quant_core.market.sources._rows import ROWS, Choice, chained, collected, rows_of
from quant_core.market.symbols import final_names, shipped_names, usable_changes


@dataclass(frozen=True)
class Whole:
    """names: of the folder. aside: tickers of which BSE's rows give way to NSE's. mixed: files that have several closes
    a day. has_doubles: a name has a day twice in some file.
    """

    names: Names
    aside: frozenset[str]
    mixed: tuple[PriceFile, ...]
    has_doubles: bool


@lru_cache(maxsize=16)
def whole(config: FileSettings, folder: Folder) -> Whole:
    """What only all rows of a folder tell.

    Raises:
        DataError: there are stock files, and not one row could be read.
    """
    own = folder.side.changes
    finals = shipped_names() if own is None else final_names(usable_changes(Path(own.path))[0])
    if config.symbol_changes == NONE:
        finals = finals.clear()
    columns = [*NAMED, "exchange", "basis", "close_inr", "prev_close_inr", "volume_shares", "_file"]
    choice = Choice(date.min, date.max, config.series)
    scans = [rows_of(file, n, choice, config.grammar) for n, file in enumerate(folder.stocks)]
    parts, damaged = collected(folder.stocks, [frame.select(columns) for frame, _ in scans])
    rows, nameless = named_rows(pl.concat([ROWS.select(columns), *parts]))
    has_doubles = have_doubles(rows)
    mixed = _mixed_places(folder, [frame for frame, _ in scans]) if has_doubles else []
    rows = rows.filter(~pl.col("_file").is_in(mixed)) if mixed else rows
    mixed_files = tuple(folder.stocks[place] for place in mixed)
    if folder.stocks and not rows.height and not folder.indices:
        said = [problem for _, found in scans for problem in found]
        said += [*damaged, *several_closes(mixed_files), *nameless]
        said += other_series(folder.stocks, config.series, config.grammar)
        reasons = "; ".join(one.detail.removesuffix(".") for one in said[:3])
        raise DataError(f"files: no row could be read in {config.path}: {reasons or 'no row there'}.")
    names = find_names(rows, finals, has_own_list=own is not None, see_more=config.symbol_changes != NONE)
    return Whole(names, _on_both(rows, names), mixed_files, has_doubles)


def _mixed_places(folder: Folder, frames: Sequence[pl.LazyFrame]) -> list[int]:
    """Which of the stock files have several closes a day; read again with the series, which few folders need."""
    columns = ["_file", "name", "series", "exchange", "date", "close_inr"]
    parts, _ = collected(folder.stocks, [frame.select(columns) for frame in frames])
    return many_a_day(pl.concat([ROWS.select(columns), *parts]))


def _on_both(rows: pl.DataFrame, names: Names) -> frozenset[str]:
    """Tickers with rows of BSE and of another exchange, or of none that is stated."""
    is_bse = (rows["exchange"] == BSE).fill_null(False)
    if not is_bse.any():
        return frozenset()
    tickers = names.of(rows)
    return frozenset(tickers.filter(is_bse)) & frozenset(tickers.filter(~is_bse))


def names_of(config: FileSettings, folder: Folder) -> Names:
    """The names of the whole folder, whatever the span."""
    return whole(config, folder).names


@lru_cache(maxsize=16)
def folder_actions(config: FileSettings, folder: Folder) -> pl.DataFrame:
    """The folder's actions, completed by the shipped ones, under the names of its rows."""
    if folder.side.actions is None:
        return no_actions()
    table = with_known_actions(usable_actions(Path(folder.side.actions.path))[0])
    ways = [chained(file) for file in folder.stocks if chained(file) not in (AS_THEY_ARE, OF_THE_DAY)]
    way = pl.lit(ways[0] if ways else OF_THE_DAY)
    names = names_of(config, folder)
    own = {
        column: names.of(table.select(date="ex_date", name=column).with_columns(chained=way))
        for column in ("ticker", "into")
        if column in table.columns
    }
    return table.with_columns(**own).sort("ticker", "ex_date", maintain_order=True)


@lru_cache(maxsize=16)
def first_days(config: FileSettings, folder: Folder, files: tuple[PriceFile, ...]) -> pl.DataFrame:
    """Columns ticker, first_day over all of the files, whatever the span."""
    names, choice = names_of(config, folder), Choice(date.min, date.max, config.series)
    firsts = [pl.DataFrame(schema={"ticker": pl.String, "first_day": pl.Date})]
    scans = [rows_of(file, 0, choice, config.grammar)[0].select(NAMED) for file in files]
    for days in collected(files, scans)[0]:
        firsts.append(days.select("date", ticker=names.of(days)).group_by("ticker").agg(first_day=pl.col("date").min()))
    return pl.concat(firsts).group_by("ticker").agg(pl.col("first_day").min())
