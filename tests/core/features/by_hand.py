"""One feature of a few hand-made rows, for tests that state its numbers."""

import numpy as np
import polars as pl

from quant_core.features import FEATURES, FeatureConfig, compute_features
from quant_core.features.panel import build_panel


def column(prices: pl.DataFrame, name: str, feature: str, windows: tuple[int, ...]) -> list[float | None]:
    """One feature column of the first ticker over the whole table."""
    config = FeatureConfig(names=(feature,), windows=windows, normalization="none")
    table = compute_features(prices, config, prices["date"].min(), prices["date"].max())
    return table.filter(pl.col("ticker") == table["ticker"][0])[name].to_list()


def values(
    prices: pl.DataFrame, name: str, windows: tuple[int, ...], sectors: pl.DataFrame | None = None
) -> dict[str, np.ndarray]:
    """The feature's (N, T) arrays, called with windows of any length; NaN for no value."""
    index = prices.filter(pl.col("instrument") == "index")
    rows = prices.filter(pl.col("instrument") == "equity")
    entry = FEATURES[name]
    panel = build_panel(rows, entry.reads, index=index, sectors=sectors, min_history_sessions=2)
    return entry.function(panel, windows)


def series(prices: pl.DataFrame, name: str, windows: tuple[int, ...]) -> dict[str, np.ndarray]:
    """The same of the first ticker alone: (T,) arrays."""
    return {column: found[0] for column, found in values(prices, name, windows).items()}
