"""From a panel to the features table: work shared out in parts, written straight to long columns.

Features of scope "ticker" are computed a few tickers at a time, so that what a feature makes, its z-score and its way
to long rows stay in the processor's cache; the others see the whole panel. The parts share the cores, as the kernels
release the interpreter lock.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_core.errors import DataError
from quant_core.features.catalog import Feature
from quant_core.features.config import FeatureConfig, feature_columns, features_of
from quant_core.features.melt import Melter, Part, melter_from
from quant_core.features.normalize import (
    cross_sectional_rank,
    normalized_name,
    rolling_zscore,
    winsorized_zscore,
)
from quant_core.features.panel import Panel
from quant_core.features.shapes import FloatPanel
from quant_core.runtime import worker_threads

#: More threads than this only wait for memory.
MOST_THREADS = 8
#: Cells of a panel that are worked on together: two megabytes of float64. Smaller parts take less memory and stay in
#: nearer caches, larger ones write longer runs of the table.
PART_CELLS = 1 << 18

Outputs = dict[str, NDArray[np.float64]]
Job = Callable[[], None]


def feature_table(panel: Panel, config: FeatureConfig, start: date) -> pl.DataFrame:
    """Features of the panel's rows from `start` on: date, ticker, is_eligible, then `feature_columns(config)`."""
    threads = worker_threads(MOST_THREADS)
    melter = melter_from(panel, start, _n_parts(panel, threads))
    outputs = {name: np.empty(melter.height) for name in feature_columns(config)}
    keys = melter.keys()
    with ThreadPoolExecutor(max_workers=threads) as pool:
        _run(pool, _jobs(panel, config, melter, outputs))
        if config.normalization == "cross_sectional_rank":
            _run(pool, _rank_jobs(config, melter, outputs, keys[2].to_numpy()))
        columns = list(pool.map(_column, outputs, outputs.values()))
    return pl.DataFrame([*keys, *columns])


def _n_parts(panel: Panel, threads: int) -> int:
    """Enough parts for their size, and equally many for each thread."""
    enough = -(-panel.listed.size // PART_CELLS)
    return min(-(-enough // threads) * threads, len(panel.tickers))


def _run(pool: ThreadPoolExecutor, jobs: Iterable[Job]) -> None:
    for _ in pool.map(lambda job: job(), list(jobs)):
        pass


def _column(name: str, values: NDArray[np.float64]) -> pl.Series:
    """Null where NaN, over the array's own memory: a copy would take its space and time once more for each column."""
    import pyarrow as pa

    present = np.packbits(values == values, bitorder="little")
    buffers = [pa.py_buffer(present), pa.py_buffer(values)]
    return pl.Series(name, pa.Array.from_buffers(pa.float64(), len(values), buffers))


def _jobs(panel: Panel, config: FeatureConfig, melter: Melter, outputs: Outputs) -> list[Job]:
    """Independent pieces of work, the long ones first."""
    chosen = features_of(config)
    by_ticker = [(windows, e) for e in chosen if e.scope == "ticker" for windows in _apart(e, config)]
    by_window = sorted(by_ticker, key=lambda work: max(work[0]))  # so that what is kept for a window is soon let go

    def whole(entry: Feature, windows: tuple[int, ...]) -> Job:
        return lambda: _write(entry, panel, windows, config, melter, outputs, None)

    def some(part: Part) -> Job:
        def job() -> None:
            few = panel.some(part.begin, part.end)
            for windows, entry in by_window:
                _write(entry, few, windows, config, melter, outputs, part)
                few.forget_below(max(windows))

        return job

    together = [whole(e, windows) for e in chosen if e.scope != "ticker" for windows in _apart(e, config)]
    return together + [some(part) for part in melter.parts if by_window]


def _apart(entry: Feature, config: FeatureConfig) -> list[tuple[int, ...]]:
    """One window at a time where every column belongs to a window."""
    windows = entry.windows(config.windows)
    return [(w,) for w in windows] if all("{w}" in template for template in entry.templates) else [windows]


def _write(
    entry: Feature,
    panel: Panel,
    windows: tuple[int, ...],
    config: FeatureConfig,
    melter: Melter,
    outputs: Outputs,
    part: Part | None,
) -> None:
    """Compute one feature on (part of) the panel and write its columns, raw and normalised."""
    how = entry.normalization(config.normalization)
    for column, values in _computed(entry, panel, windows).items():
        scaled = _normalized(values, how, config, panel.first_session)
        for name, result in ((column, values), (normalized_name(column, how, config.zscore_lookback), scaled)):
            if result is not None:
                spread = np.where(panel.priced, result, np.nan) if entry.scope == "market" else result
                melter.write(spread, outputs[name], part)


def _computed(entry: Feature, panel: Panel, windows: tuple[int, ...]) -> dict[str, FloatPanel]:
    """The feature's arrays, checked against what it promised."""
    columns = entry.function(panel, windows)
    wanted = entry.columns_of(windows)
    if sorted(columns) != sorted(wanted):
        raise DataError(f"feature {entry.name}: made columns {sorted(columns)}, wanted {sorted(wanted)}; correct it.")
    shape = (1, len(panel.days)) if entry.scope == "market" else panel.listed.shape
    for name, values in columns.items():
        if values.shape != shape or values.dtype != np.float64:
            raise DataError(
                f"feature {entry.name}: {name} is {values.dtype} of shape {values.shape}, wanted float64 of {shape}; "
                "return one array like `panel.log_return_1d` a column, or a (1, T) series from scope='market'."
            )
    return columns


def _normalized(values: FloatPanel, how: str, config: FeatureConfig, first_session: int) -> FloatPanel | None:
    if how == "rolling_zscore":
        return rolling_zscore(values, config.zscore_lookback, first_session)
    if how == "winsorized_zscore":
        return winsorized_zscore(values, config.zscore_lookback, first_session, config.outlier_sigma)
    return None


def _rank_jobs(config: FeatureConfig, melter: Melter, outputs: Outputs, is_eligible: NDArray[np.bool_]) -> list[Job]:
    """Ranks are taken on the long rows, where a day's tickers lie side by side."""

    def rank(column: str) -> Job:
        target = normalized_name(column, "cross_sectional_rank", config.zscore_lookback)
        return lambda: outputs.__setitem__(
            target, cross_sectional_rank(outputs[column], is_eligible, melter.whole.first_row)
        )

    entries = [entry for entry in features_of(config) if entry.scope != "market" and not entry.is_scaled]
    return [rank(column) for entry in entries for column in entry.columns(config.windows)]
