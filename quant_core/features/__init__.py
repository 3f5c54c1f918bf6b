"""Features: clean prices in, one row per (date, ticker) of trailing measurements out.

A feature is one decorated function in a module of this package; dropping in a new file is all it takes. Features read
trailing sessions only (see `quant_core.causality`), and a value does not depend on how much older history is loaded.
"""

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from quant_core.calendar import FIRST_DAY, sessions
from quant_core.errors import DataError, UnknownName
from quant_core.features.normalize import NORMALIZATIONS, cross_sectional_rank, normalized_name, rolling_zscore
from quant_core.features.panel import (
    ANCHOR_REACH_SESSIONS,
    KEYS,
    BoolPanel,
    FloatPanel,
    Melter,
    Panel,
    build_panel,
    melt_panels,
)
from quant_core.registry import Registry

#: More threads than this only wait for memory.
MOST_THREADS = 8

FeatureFunction = Callable[[Panel, Sequence[int]], dict[str, FloatPanel]]


@dataclass(frozen=True)
class Feature:
    """One registered feature: a function of (panel, windows) and what it promises.

    Args:
        templates: its column names, `{w}` standing for the window; a name without it is computed once.
        shortest_window: configured windows below it are not used by this feature.
        fixed_windows: windows used instead of the configured ones, for a feature that has its own.
        reads: columns of CleanPrices that the panel must hold.
        summary: first line of the function's docstring.
    """

    name: str
    function: FeatureFunction
    templates: tuple[str, ...]
    shortest_window: int
    fixed_windows: tuple[int, ...] | None
    reads: tuple[str, ...]
    summary: str

    def windows(self, configured: Sequence[int]) -> tuple[int, ...]:
        """The windows that this feature uses out of the configured ones."""
        if self.fixed_windows is not None:
            return self.fixed_windows
        used = tuple(w for w in configured if w >= self.shortest_window)
        if not used:
            raise DataError(
                f"features: none of the windows {list(configured)} is long enough for {self.name}, which starts at "
                f"{self.shortest_window} sessions; add a longer window or drop the feature."
            )
        return used

    def columns(self, configured: Sequence[int]) -> list[str]:
        """Raw column names for the configured windows, in table order."""
        windows = self.windows(configured)
        return [name for t in self.templates for name in ([t.format(w=w) for w in windows] if "{w}" in t else [t])]

    def warm_up_sessions(self, configured: Sequence[int]) -> int:
        """Sessions of history that a value needs before its own session."""
        return max(self.windows(configured)) + ANCHOR_REACH_SESSIONS


FEATURES: Registry[Feature] = Registry("feature", "quant_core.features")


def feature(
    name: str,
    *,
    columns: tuple[str, ...],
    shortest_window: int = 1,
    fixed_windows: tuple[int, ...] | None = None,
    reads: tuple[str, ...] = ("total_return_1d",),
) -> Callable[[FeatureFunction], FeatureFunction]:
    """Register a function as the feature `name`; the arguments are those of `Feature`."""

    def add(function: FeatureFunction) -> FeatureFunction:
        summary = (function.__doc__ or "").strip().split("\n")[0]
        FEATURES.register(name)(Feature(name, function, columns, shortest_window, fixed_windows, reads, summary))
        return function

    return add


@dataclass(frozen=True)
class FeatureConfig:
    """Which features to compute and how to scale them.

    Args:
        names: registered features, in table order.
        windows: sessions, today included; each feature uses those it can (`Feature.windows`).
        normalization: "rolling_zscore", "cross_sectional_rank" or "none".
        zscore_lookback: sessions of the rolling z-score.
        min_history_sessions: an eligible ticker has been listed this long.
        max_missing_share: largest share of those sessions that may lack a price.
    """

    names: tuple[str, ...] = ("log_returns", "realized_volatility", "momentum", "max_drawdown")
    windows: tuple[int, ...] = (1, 5, 21, 63, 126, 252)
    normalization: str = "rolling_zscore"
    zscore_lookback: int = 252
    min_history_sessions: int = 252
    max_missing_share: float = 0.20

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "windows", tuple(self.windows))
        if self.normalization not in NORMALIZATIONS:
            raise UnknownName("normalization", self.normalization, NORMALIZATIONS)
        for setting, found, good, wanted in (
            ("names", self.names, self.names and len(set(self.names)) == len(self.names), "distinct names"),
            ("windows", self.windows, all(w >= 1 for w in self.windows), "sessions of at least 1"),
            ("windows", self.windows, self.windows and len(set(self.windows)) == len(self.windows), "distinct windows"),
            ("zscore_lookback", self.zscore_lookback, self.zscore_lookback >= 2, "at least 2 sessions"),
            ("min_history_sessions", self.min_history_sessions, self.min_history_sessions >= 1, "at least 1 session"),
            ("max_missing_share", self.max_missing_share, 0.0 <= self.max_missing_share < 1.0, "a share in [0, 1)"),
        ):
            if not good:
                raise DataError(f"features: {setting} is {found}, wanted {wanted}; correct features.{setting}.")


def feature_columns(config: FeatureConfig) -> list[str]:
    """Every feature column of the table, in table order: the raw ones, then the normalised ones."""
    raw = _raw_columns(config)
    return raw if config.normalization == "none" else raw + model_columns(config)


def model_columns(config: FeatureConfig) -> list[str]:
    """The columns that models read: normalised, unless the configuration asks for none."""
    return [normalized_name(name, config.normalization, config.zscore_lookback) for name in _raw_columns(config)]


def warm_up_sessions(config: FeatureConfig) -> int:
    """Sessions of history to load before the first wanted row, so that more history would not change it."""
    features = max(FEATURES[name].warm_up_sessions(config.windows) for name in config.names)
    scaling = config.zscore_lookback if config.normalization == "rolling_zscore" else 0
    return max(features + scaling, config.min_history_sessions + ANCHOR_REACH_SESSIONS)


def compute_features(
    prices: pl.DataFrame | pl.LazyFrame, config: FeatureConfig, start: date, end: date
) -> pl.DataFrame:
    """Features of every equity row with start <= date <= end.

    Args:
        prices: CleanPrices in any order, reaching `warm_up_sessions(config)` sessions before `start`. Older rows, rows
            after `end` and indices are not read.
        config: which features, windows and normalisation.
    Returns:
        keys date, ticker, is_eligible, then `feature_columns(config)`; sorted by date and ticker. Features are null on
        filled rows and where their window is not full. A value is bit for bit the same whatever else was loaded.
    Raises:
        UnknownName: a feature that is not registered.
        DataError: a window too short, `start` after `end`, or rows that break the contract of clean prices.
    """
    columns = feature_columns(config)
    reads = tuple(dict.fromkeys(column for name in config.names for column in FEATURES[name].reads))
    rows = _load(prices, reads, _first_day(config, start, end), end)
    if rows.is_empty() or not bool((rows["date"] >= start).any()):
        return _empty(columns)
    panel = build_panel(rows, reads)
    melter = melt_panels(panel, start)
    melted = _melted_columns(panel, melter, config)
    table = pl.DataFrame([*melter.keys(), melter.column("is_eligible", _eligible(panel, config)), *melted.values()])
    if config.normalization == "cross_sectional_rank":
        names = dict(zip(_raw_columns(config), model_columns(config), strict=True))
        table = table.with_columns(cross_sectional_rank(raw).alias(rank) for raw, rank in names.items())
    return table.select("date", "ticker", "is_eligible", *columns)


def _raw_columns(config: FeatureConfig) -> list[str]:
    columns = [column for name in config.names for column in FEATURES[name].columns(config.windows)]
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        raise DataError(f"features: columns {twice} come from more than one feature; rename one of them.")
    return columns


def _first_day(config: FeatureConfig, start: date, end: date) -> date:
    """The session `warm_up_sessions` before `start`, or the calendar's first."""
    if start > end:
        raise DataError(f"features: start {start} is after end {end}; swap them.")
    history = sessions(FIRST_DAY, start - timedelta(days=1)) if start > FIRST_DAY else []
    return history[-warm_up_sessions(config) :][0] if history else start


def _load(prices: pl.DataFrame | pl.LazyFrame, reads: tuple[str, ...], first: date, last: date) -> pl.DataFrame:
    wanted = dict.fromkeys((*KEYS, *reads))
    equities = prices.lazy().filter(pl.col("instrument") == "equity", pl.col("date").is_between(first, last))
    return equities.select(*wanted).collect()


def _jobs(config: FeatureConfig) -> list[tuple[Feature, tuple[int, ...]]]:
    """Independent pieces of work: one window of a feature at a time where its columns are one a window."""
    jobs: list[tuple[Feature, tuple[int, ...]]] = []
    for entry in (FEATURES[name] for name in config.names):
        windows = entry.windows(config.windows)
        apart = all("{w}" in template for template in entry.templates)
        jobs += [(entry, (w,)) for w in windows] if apart else [(entry, windows)]
    return jobs


def _melted_columns(panel: Panel, melter: Melter, config: FeatureConfig) -> dict[str, pl.Series]:
    """Long columns by name; jobs share the cores, as the kernels release the interpreter lock."""

    def run(job: tuple[Feature, tuple[int, ...]]) -> list[pl.Series]:
        entry, windows = job
        melted = []
        for column, values in entry.function(panel, windows).items():
            melted.append(melter.column(column, values))
            if config.normalization == "rolling_zscore":
                zscore = rolling_zscore(values, config.zscore_lookback, panel.first_session)
                melted.append(
                    melter.column(normalized_name(column, config.normalization, config.zscore_lookback), zscore)
                )
        return melted

    with ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, MOST_THREADS)) as pool:
        return {series.name: series for done in pool.map(run, _jobs(config)) for series in done}


def _eligible(panel: Panel, config: FeatureConfig) -> BoolPanel:
    from quant_core.features import kernels

    history = config.min_history_sessions
    need = math.ceil(round(history * (1.0 - config.max_missing_share), 9))
    return kernels.eligible(panel.listed, panel.priced, panel.member, history, need, ANCHOR_REACH_SESSIONS)


def _empty(columns: list[str]) -> pl.DataFrame:
    keys = {"date": pl.Date(), "ticker": pl.String(), "is_eligible": pl.Boolean()}
    return pl.DataFrame(schema={**keys, **dict.fromkeys(columns, pl.Float64())})
