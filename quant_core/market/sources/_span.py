"""The rows of a span, from all files of a folder that hold some of it, and what is said of them."""

from collections.abc import Sequence
from datetime import date

import polars as pl

from quant_core.market.actions import apply_actions
from quant_core.market.listings import since_listing
from quant_core.market.lists import NEVER, known_to
from quant_core.market.problems import Problem
from quant_core.market.sources._chosen import (
    conflicts,
    lost_numbers,
    named_rows,
    one_exchange,
    one_file,
    one_series,
    other_series,
    several_closes,
)
from quant_core.market.sources._file_settings import FileSettings
from quant_core.market.sources._folder import ACTIONS_NAME, NONE, Folder, PriceFile
from quant_core.market.sources._lists import actions_lists
from quant_core.market.sources._rows import ONLY_FOR_CHOOSING, ROWS, Choice, collected, rows_of
from quant_core.market.sources._whole import first_days, folder_actions, whole
from quant_core.market.sources.source import early_rows
from quant_core.schema import INDEX, SPLIT_ADJUSTED, UNADJUSTED

SHOWN_TICKERS = 60


def files_of_span(files: Sequence[PriceFile], start: date, end: date) -> list[PriceFile]:
    """Those that may hold some of it."""
    return [file for file in files if file.day is None or start <= file.day <= end]


def stock_rows(
    config: FileSettings, folder: Folder, tickers: Sequence[str] | None, start: date, end: date
) -> tuple[pl.DataFrame, list[Problem]]:
    """Rows of the stock files with factors and dividends, the look-back included."""
    problems: list[Problem] = []
    parts = []
    groups = {basis: [f for f in folder.stocks if f.layout.basis == basis] for basis in (UNADJUSTED, SPLIT_ADJUSTED)}
    for basis, files in groups.items():
        if not files:
            continue
        part, found = _read(config, folder, files, tickers, start, end)
        problems += found
        if basis == SPLIT_ADJUSTED and groups[UNADJUSTED]:
            first = first_days(config, folder, tuple(groups[UNADJUSTED]))
            part = part.join(first, on="ticker", how="left", maintain_order="left")
            part = part.filter((pl.col("date") < pl.col("first_day")).fill_null(True)).drop("first_day")
        if basis == SPLIT_ADJUSTED:
            part, early = since_listing(part)
            problems += [early_rows(name, count) for name, count in early.items()]
        parts.append(part)
    if not parts:
        return pl.DataFrame(schema={"date": pl.Date, "ticker": pl.String}), problems
    rows = pl.concat(parts, how="diagonal_relaxed")
    if folder.side.actions is None and config.actions != NONE and _lacks_actions(folder.stocks):
        detail = f"prices are unadjusted and no {ACTIONS_NAME} lies beside them: splits show as jumps"
        problems.append(Problem("", "no_actions", detail))
    rows = rows.rename({"dividend_inr": "_own_dividend", "price_factor": "_own_factor"})
    rows = apply_actions(rows, folder_actions(config, folder))
    own = pl.col("_has_actions")
    rows = rows.with_columns(
        dividend_inr=pl.when(own).then(pl.col("_own_dividend").fill_null(0.0)).otherwise(pl.col("dividend_inr")),
        price_factor=pl.when(own).then(pl.col("_own_factor").fill_null(1.0)).otherwise(pl.col("price_factor")),
    )
    return rows, problems


def _lacks_actions(files: Sequence[PriceFile]) -> bool:
    return any(file.layout.basis == UNADJUSTED and not file.layout.has_actions for file in files)


def index_rows(
    config: FileSettings, folder: Folder, tickers: Sequence[str] | None, start: date, end: date
) -> tuple[pl.DataFrame, list[Problem]]:
    """Rows of the index files. Volume and turnover are dropped: their units differ between indices."""
    choice = Choice(start, end, config.series, None if tickers is None else tuple(tickers))
    scans = [rows_of(file, number, choice, config.grammar) for number, file in enumerate(folder.indices)]
    parts, problems = collected(folder.indices, [frame for frame, _ in scans])
    problems += [problem for _, found in scans for problem in found]
    rows, nameless = named_rows(pl.concat([ROWS, *parts]))
    problems += nameless
    if not rows.height:
        return pl.DataFrame(schema={"date": pl.Date, "ticker": pl.String}), problems
    rows, more = one_file(rows.with_columns(ticker=pl.col("name")))
    named = rows.with_columns(
        volume_shares=pl.lit(None, pl.Int64),
        turnover_inr=pl.lit(None, pl.Float64),
        dividend_inr=pl.lit(0.0),
        price_factor=pl.lit(1.0),
        instrument=pl.lit(INDEX),
    )
    return named, problems + more


def _read(
    config: FileSettings,
    folder: Folder,
    files: Sequence[PriceFile],
    tickers: Sequence[str] | None,
    start: date,
    end: date,
) -> tuple[pl.DataFrame, list[Problem]]:
    """Rows of files of one basis, chained to tickers, one file a day and ticker."""
    known = whole(config, folder)
    names, mixed = known.names, known.mixed
    raw_names = None if tickers is None else tuple(names.raw_names(tickers))
    choice = Choice(start, end, config.series, raw_names)
    own = files_of_span(files, start, end)
    wanted = [file for file in own if file not in mixed]
    scans = [rows_of(file, number, choice, config.grammar) for number, file in enumerate(wanted)]
    problems = [problem for _, found in scans for problem in found]
    parts, damaged = collected(wanted, [frame for frame, _ in scans])
    rows, found = named_rows(pl.concat([ROWS, *parts]), of_shares=True)
    found += several_closes([file for file in own if file in mixed])
    found += other_series(wanted, config.series, config.grammar)
    rows = rows.with_columns(ticker=names.of(rows))
    if tickers is not None:
        rows = rows.filter(pl.col("ticker").is_in(list(tickers)))
    rows, by_exchange = one_exchange(rows, known.aside)
    rows, by_series = one_series(rows, config.series)
    rows, by_file = one_file(rows)
    said = [*problems, *damaged, *found, *lost_numbers(rows), *by_exchange, *by_series, *by_file]
    said += conflicts(rows) if known.has_doubles else []
    return rows.drop(ONLY_FOR_CHOOSING), said


def needs_actions(folder: Folder) -> bool:
    """Whether any of the prices get their dividends from the folder's actions file, or would if it had one."""
    listed = folder.side.actions is not None
    return any(
        not file.layout.has_actions
        and not file.layout.dividend_adjusted
        and (listed or file.layout.basis == UNADJUSTED)
        for file in folder.stocks
    )


def ended(folder: Folder, rows: pl.DataFrame) -> list[Problem]:
    """A note where the prices go on after the last dividend that the folder's actions file knows."""
    if folder.side.actions is None or not rows.height or not needs_actions(folder):
        return []
    end, last = actions_lists(folder.side.actions)[-1].known_until, rows["date"].max()
    if end is None or not isinstance(last, date) or end >= last:
        return []
    said = f"actions {known_to(end)}; stocks earn price returns after {end}" if end > NEVER else "no dividends"
    return [Problem("", "actions_end", f"{folder.side.actions.name}: {said} (prices to {last})")]


def filled(rows: pl.DataFrame, folder: Folder) -> list[Problem]:
    """A note on which tickers have split-adjusted rows before their first unadjusted one."""
    if not any(file.layout.basis == UNADJUSTED for file in folder.stocks) or not rows.height:
        return []
    earlier = rows.filter((pl.col("basis") == SPLIT_ADJUSTED) & ~pl.col("_has_actions").fill_null(False))
    names = ", ".join(file.stamp.name for file in folder.stocks if file.layout.basis == SPLIT_ADJUSTED)
    notes = []
    for (source,), part in earlier.group_by("source", maintain_order=True):
        tickers = part["ticker"].unique().sort().to_list()
        listed = ", ".join(tickers[:SHOWN_TICKERS]) + (", ..." if len(tickers) > SHOWN_TICKERS else "")
        origin = names if source == names else f"{names} ({source})"
        detail = f"{origin} filled {part.height} split-adjusted rows before the first unadjusted row of {listed}"
        notes.append(Problem("", "filled", detail))
    return notes
