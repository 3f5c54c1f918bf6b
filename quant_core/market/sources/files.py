"""Prices from files: a CSV or Parquet file or a folder of them, with corporate actions and symbol changes beside.

A folder may mix bases: unadjusted files are the primary ones, split-adjusted ones give what lies before a ticker's
first unadjusted row. Nothing is repaired; duplicates and impossible bars are the cleaning stage's to judge.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from pathlib import Path

import polars as pl

from quant_core.errors import DataError
from quant_core.market.actions import (
    LOOKBACK_DAYS,
    apply_actions,
    listed_events,
    no_actions,
    read_actions,
    with_known_actions,
)
from quant_core.market.listings import since_listing
from quant_core.market.sources import SOURCES, Fetch, Problem, check_span, early_rows, missing_tickers, raw_rows
from quant_core.market.sources._folder import (
    ACTIONS_NAME,
    AUTO,
    CHANGES_NAME,
    NONE,
    Folder,
    PriceFile,
    list_files,
    side_file,
    sort_files,
)
from quant_core.market.sources._reading import NUMBERS, TEXTS, FileStamp, scan
from quant_core.market.symbols import chain, final_names, read_symbol_changes, shipped_names, symbols_of
from quant_core.schema import EQUITY, INDEX, SPLIT_ADJUSTED, UNADJUSTED

YAHOO_SUFFIX = r"\.(NS|BO)$"
#: Names that are never shares, whatever file they come in: ^NSEI, NIFTY 50, INDIA VIX.
INDEX_NAME = r"^(\^|NIFTY |INDIA ?VIX$)"
SHOWN_TICKERS = 60


@SOURCES.register("files")
@dataclass(frozen=True)
class FilesSource:
    """CSV or Parquet files on disk (NSE bhavcopy, Kaggle, yfinance or plain), with corporate actions beside them.

    Args:
        path: a file, or a folder (its subfolders are not read).
        format: a name of `_formats.FORMATS`, or "auto" to go by the header.
        pattern: which files of the folder, e.g. "*.csv".
        columns: lab column -> column of the file, where the header has other names, e.g. {"close": "Last Traded"}.
        series: series that are kept where a file has them, the first winning where a name has two on a day: the
            ordinary one and those a name is moved to (NSE's BE and BZ, BSE's T: delivery only, no netting within the
            day; BSE's E). Bonds, funds and the market of small companies stay out.
        basis: "unadjusted" or "split_adjusted"; "auto" goes by the header.
        ticker_pattern: regular expression with the group `ticker`, for files named after their ticker.
        date_format: strptime format where dates are ambiguous; by default 03/04/2001 is 3 April.
        actions: corporate actions file; "auto" is corporate_actions.csv beside the prices, "none" ignores it.
        symbol_changes: "auto" is symbol_changes.csv beside the prices or one folder above, else the shipped list.
    """

    path: str
    format: str = AUTO
    pattern: str = "*"
    columns: Mapping[str, str] | tuple[tuple[str, str], ...] | None = None
    series: tuple[str, ...] = ("EQ", "BE", "BZ", "T", "E")
    basis: str = AUTO
    ticker_pattern: str = r"^(?P<ticker>.+?)(\.NS|\.BO)?$"
    date_format: str | None = None
    actions: str = AUTO
    symbol_changes: str = AUTO

    def __post_init__(self) -> None:
        if self.basis not in (AUTO, UNADJUSTED, SPLIT_ADJUSTED):
            raise DataError(f"files: basis {self.basis!r} is none of {AUTO}, {UNADJUSTED}, {SPLIT_ADJUSTED}.")
        object.__setattr__(self, "series", tuple(self.series))
        object.__setattr__(self, "columns", tuple(dict(self.columns or ()).items()))  # hashable, for the caches

    def fetch(self, tickers: Sequence[str] | None, start: date, end: date, now: datetime) -> Fetch:
        """Rows of the span, from the files as they are now."""
        check_span("files", start, end)
        folder = self._folder()
        begin = max(start, date.min + timedelta(days=LOOKBACK_DAYS)) - timedelta(days=LOOKBACK_DAYS)
        stocks, problems = _stock_rows(self, folder, tickers, begin, end)
        rows = pl.concat([stocks, _index_rows(self, folder, tickers, begin, end)], how="diagonal_relaxed")
        rows = rows.filter(pl.col("date").is_between(start, end))
        problems = [*folder.problems, *problems, *_filled(rows, folder)]
        problems += missing_tickers(tickers, rows, f"files {Path(self.path).name}")
        rows = raw_rows(rows, f"files {self.path}", "fix the file or set columns, format or basis of the source.")
        return Fetch(rows, tuple(problems))

    def version(self, start: date, end: date, now: datetime) -> str:
        """Digest of the names, sizes and times of the files that the span is read from, side files included."""
        folder = self._folder()
        chosen = [file.stamp for file in (*_of_span(folder.stocks, start, end), *folder.indices)]
        used = [file for file in (*chosen, folder.actions, folder.changes) if file is not None]
        text = "|".join(f"{file.name}:{file.size}:{file.mtime_ns}" for file in used)
        return f"{len(used)} files {hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def listed_events(self) -> pl.DataFrame:
        """Listed actions that no row of a fetch carries: see `actions.listed_events`."""
        return listed_events(_actions(self._folder().actions))

    def _folder(self) -> Folder:
        path = Path(self.path).expanduser()
        files = list_files(path, self.pattern)
        actions = side_file(path, ACTIONS_NAME, self.actions, look_up=False)
        changes = side_file(path, CHANGES_NAME, self.symbol_changes, look_up=True)
        return _folder(self, files, (actions, changes))


@lru_cache(maxsize=16)
def _folder(
    config: FilesSource, files: tuple[FileStamp, ...], side: tuple[FileStamp | None, FileStamp | None]
) -> Folder:
    renamed = dict(config.columns or ())
    return sort_files(files, side, config.format, renamed, config.basis, config.ticker_pattern)


@lru_cache(maxsize=16)
def _actions(file: FileStamp | None) -> pl.DataFrame:
    return no_actions() if file is None else with_known_actions(read_actions(Path(file.path)))


@lru_cache(maxsize=16)
def _names(file: FileStamp | None, setting: str) -> pl.DataFrame:
    """Final names by symbol and day."""
    if file is not None:
        return final_names(read_symbol_changes(Path(file.path)))
    return shipped_names().clear() if setting == NONE else shipped_names()


def _of_span(files: Sequence[PriceFile], start: date, end: date) -> list[PriceFile]:
    return [file for file in files if file.day is None or start <= file.day <= end]


def _stock_rows(
    config: FilesSource, folder: Folder, tickers: Sequence[str] | None, start: date, end: date
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
            first = _first_days(config, folder, tuple(groups[UNADJUSTED]))
            part = part.join(first, on="ticker", how="left", maintain_order="left")
            part = part.filter((pl.col("date") < pl.col("first_day")).fill_null(True)).drop("first_day")
        if basis == SPLIT_ADJUSTED:
            part, early = since_listing(part)
            problems += [early_rows(name, count) for name, count in early.items()]
        parts.append(part)
    if not parts:
        return pl.DataFrame(schema={"date": pl.Date, "ticker": pl.String}), problems
    rows = pl.concat(parts, how="diagonal_relaxed")
    if folder.actions is None and config.actions != NONE and _lacks_actions(folder.stocks):
        detail = f"prices are unadjusted and no {ACTIONS_NAME} lies beside them: splits show as jumps"
        problems.append(Problem("", "no_actions", detail))
    rows = rows.rename({"dividend_inr": "_own_dividend", "price_factor": "_own_factor"})
    rows = apply_actions(rows, _actions(folder.actions))
    own = pl.col("_has_actions")
    rows = rows.with_columns(
        dividend_inr=pl.when(own).then(pl.col("_own_dividend").fill_null(0.0)).otherwise(pl.col("dividend_inr")),
        price_factor=pl.when(own).then(pl.col("_own_factor").fill_null(1.0)).otherwise(pl.col("price_factor")),
    )
    return rows, problems


def _lacks_actions(files: Sequence[PriceFile]) -> bool:
    return any(file.layout.basis == UNADJUSTED and not file.layout.has_actions for file in files)


def _index_rows(
    config: FilesSource, folder: Folder, tickers: Sequence[str] | None, start: date, end: date
) -> pl.DataFrame:
    """Rows of the index files. Volume and turnover are dropped: their units differ between indices."""
    parts = [_scan(config, folder, number, file, tickers, start, end)[0] for number, file in enumerate(folder.indices)]
    rows = pl.concat([frame.collect() for frame in parts], how="diagonal_relaxed") if parts else pl.DataFrame()
    if not rows.height:
        return pl.DataFrame(schema={"date": pl.Date, "ticker": pl.String})
    return rows.with_columns(
        volume_shares=pl.lit(None, pl.Int64),
        turnover_inr=pl.lit(None, pl.Float64),
        dividend_inr=pl.lit(0.0),
        price_factor=pl.lit(1.0),
        instrument=pl.lit(INDEX),
    )


def _read(
    config: FilesSource,
    folder: Folder,
    files: Sequence[PriceFile],
    tickers: Sequence[str] | None,
    start: date,
    end: date,
) -> tuple[pl.DataFrame, list[Problem]]:
    """Rows of files of one basis, chained to tickers.

    Where files overlap, the first by name keeps the (ticker, date).
    """
    wanted = _of_span(files, start, end)
    scans = [_scan(config, folder, number, file, tickers, start, end) for number, file in enumerate(wanted)]
    problems = [problem for _, found in scans for problem in found]
    frames = pl.collect_all([frame for frame, _ in scans])
    rows = pl.concat([_EMPTY, *frames], how="diagonal_relaxed")
    unchained = rows["ticker"].is_null().any()
    if unchained:
        names = _names(folder.changes, config.symbol_changes)
        rows = rows.with_columns(ticker=pl.coalesce("ticker", chain(rows, names)))
        if tickers is not None:
            rows = rows.filter(pl.col("ticker").is_in(list(tickers)))
    rows, lost = _one_series(rows, config.series)
    if lost:
        detail = f"{lost} rows have another series on the same day; the first of {', '.join(config.series)} is used"
        problems.append(Problem("", "series", detail))
    if len(frames) > 1:
        kept = rows.filter(pl.col("_file") == pl.col("_file").min().over("ticker", "date"))
        if kept.height < rows.height:
            lost = rows.height - kept.height
            problems.append(
                Problem("", "overlap", f"{lost} rows are in more than one file; the first file by name is used")
            )
        rows = kept
    return rows, problems


def _one_series(rows: pl.DataFrame, order: Sequence[str]) -> tuple[pl.DataFrame, int]:
    """`rows` without those beside a row of the same day and ticker in an earlier series of `order`, and their number.

    Two rows of one series stay: cleaning counts them.
    """
    if rows["series"].drop_nulls().n_unique() < 2:
        return rows, 0
    rank = pl.col("series").replace_strict(list(order), range(len(order)), default=-1, return_dtype=pl.Int32)
    kept = rows.filter(rank == rank.min().over("ticker", "date"))
    return kept, rows.height - kept.height


def _scan(
    config: FilesSource,
    folder: Folder,
    number: int,
    file: PriceFile,
    tickers: Sequence[str] | None,
    start: date,
    end: date,
) -> tuple[pl.LazyFrame, list[Problem]]:
    """One file's rows of the span with every column of `_EMPTY`; `ticker` is null where only a symbol is known."""
    layout, names = file.layout, _names(folder.changes, config.symbol_changes)
    frame, problems = scan(file.stamp, layout, config.date_format)
    if layout.dividend_adjusted:
        detail = (
            f"{file.stamp.name}: no Adj Close, so closes are taken as dividend-adjusted already "
            "and dividends are ignored"
        )
        problems.append(Problem(file.ticker, "dividend_adjusted", detail))
    frame = frame.filter(pl.col("date").is_between(start, end))
    key, chained = _key(file)
    bare = (pl.lit(file.ticker) if file.ticker else pl.col(key)).str.replace(YAHOO_SUFFIX, "")
    if tickers is not None:
        allowed = symbols_of(list(tickers), names) if chained else list(tickers)
        frame = frame.filter(
            bare.is_in([*allowed, *(f"{name}{suffix}" for name in allowed for suffix in (".NS", ".BO"))])
        )
    if layout.column("series"):
        frame = frame.filter(pl.col("series").is_in(list(config.series)).fill_null(True))  # null: the file does not say
    symbol = pl.col("symbol") if layout.column("symbol") else bare
    blank = pl.lit(None, pl.String)
    frame = frame.with_columns(ticker=blank if chained else bare, symbol=symbol)
    present = {name for name, _ in layout.columns} | {"ticker", "symbol"}
    frame = frame.with_columns(
        pl.lit(None, dtype).alias(name) for name, dtype in _EMPTY.schema.items() if name not in present
    )
    is_index = pl.coalesce("ticker", "symbol").str.contains(INDEX_NAME)
    dividend = pl.lit(0.0) if layout.dividend_adjusted else pl.col("dividend_inr")
    frame = frame.with_columns(
        dividend_inr=dividend,
        instrument=pl.coalesce("instrument", pl.when(is_index).then(pl.lit(INDEX)).otherwise(pl.lit(EQUITY))),
        basis=pl.coalesce("basis", pl.lit(layout.basis)),
        source=pl.coalesce("source", pl.lit(_source_name(file))),
        fetched_at=pl.lit(file.stamp.changed_at).cast(pl.Datetime("us", "UTC")),
        _file=pl.lit(number, pl.Int32),
        _has_actions=pl.lit(layout.has_actions),
    )
    named = pl.coalesce("ticker", "symbol")
    return frame.filter(named.is_not_null() & (named != "")).select(list(_EMPTY.schema)), problems


def _source_name(file: PriceFile) -> str:
    """What the `source` column says where the file has none.

    That is the vendor's format, or the name of a file of many tickers.
    """
    return file.stamp.name if file.layout.format == "long" and not file.ticker else file.layout.format


def _key(file: PriceFile) -> tuple[str, bool]:
    """The column that names a row, and whether it is a symbol of the day, to be chained."""
    if file.ticker:
        return "", True
    for name in ("ticker", "index"):
        if file.layout.column(name):
            return name, False
    return "symbol", True


@lru_cache(maxsize=16)
def _first_days(config: FilesSource, folder: Folder, files: tuple[PriceFile, ...]) -> pl.DataFrame:
    """Columns ticker, first_day over all of the files, whatever the span."""
    names = _names(folder.changes, config.symbol_changes)
    firsts = []
    for file in files:
        frame, _ = _scan(config, folder, 0, file, None, date.min, date.max)
        days = frame.select("date", "ticker", "symbol").collect()
        if days["ticker"].is_null().any():
            days = days.with_columns(ticker=pl.coalesce("ticker", chain(days, names)))
        firsts.append(days.group_by("ticker").agg(first_day=pl.col("date").min()))
    return pl.concat(firsts).group_by("ticker").agg(pl.col("first_day").min())


def _filled(rows: pl.DataFrame, folder: Folder) -> list[Problem]:
    """A note on which tickers have split-adjusted rows before their first unadjusted one."""
    if not any(file.layout.basis == UNADJUSTED for file in folder.stocks) or not rows.height:
        return []
    filled = rows.filter((pl.col("basis") == SPLIT_ADJUSTED) & ~pl.col("_has_actions").fill_null(False))
    names = ", ".join(file.stamp.name for file in folder.stocks if file.layout.basis == SPLIT_ADJUSTED)
    notes = []
    for (source,), part in filled.group_by("source", maintain_order=True):
        tickers = part["ticker"].unique().sort().to_list()
        listed = ", ".join(tickers[:SHOWN_TICKERS]) + (", ..." if len(tickers) > SHOWN_TICKERS else "")
        origin = names if source == names else f"{names} ({source})"
        detail = f"{origin} filled {part.height} split-adjusted rows before the first unadjusted row of {listed}"
        notes.append(Problem("", "filled", detail))
    return notes


_EMPTY = pl.DataFrame(
    schema={
        "date": pl.Date,
        **{name: pl.String for name in TEXTS if name != "index"},
        **{name: pl.Int64 if name == "volume_shares" else pl.Float64 for name in NUMBERS},
        "fetched_at": pl.Datetime("us", "UTC"),
        "_file": pl.Int32,
        "_has_actions": pl.Boolean,
    }
)
