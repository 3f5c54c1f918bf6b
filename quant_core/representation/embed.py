"""Embeddings: what a fold's encoder makes of every name's last sessions, as a table."""

from collections.abc import Iterator, Mapping
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from quant_core.calendar import sessions_before
from quant_core.errors import DataError
from quant_core.fitted import Fitted, guard
from quant_core.folds import fold
from quant_core.nn.tables import input_panel
from quant_core.representation.masked_encoder import config_of, loaded
from quant_core.runtime import torch_threads
from quant_core.schema import Embeddings

if TYPE_CHECKING:
    from torch import Tensor


def embedding_columns(width: int) -> tuple[str, ...]:
    """Names of an embedding's columns."""
    return tuple(f"embedding_{k:03d}" for k in range(width))


def embeddings(
    fitted: Mapping[str, Fitted], features: pl.LazyFrame, first: date, last: date, width: int
) -> pl.DataFrame:
    """The embedding of every eligible row from `first` to `last` that lies in a fold with a fitted encoder: the mean
    over the tokens of its window, nothing hidden.

    Args:
        fitted: by fold name.
        features: Features, from the encoder's context before `first` on.
        width: d_model of the encoders.
    Returns:
        Embeddings with float32 columns `embedding_000` ...; no row where no fold is fitted.
    Raises:
        DataError: a channel is absent, or an encoder has another width.
        LookaheadError: a row that the fold's fit has seen.
    """
    numbers = dict.fromkeys(embedding_columns(width), pl.Float32)
    parts = [Embeddings.create_empty().with_columns(pl.lit(None, kind).alias(name) for name, kind in numbers.items())]
    for name in sorted(fitted):
        found = config_of(fitted[name]).d_model
        if found != width:
            raise DataError(
                f"embeddings: the encoder of fold {name} has d_model {found}, wanted {width} as the other months have; "
                "fit it again with the profile's setting."
            )
        begin, end = max(first, fold(name).test_start), min(last, fold(name).test_end)
        parts.append(_of_fold(name, fitted[name], features, begin, end))
    return pl.concat(parts).sort("date", "ticker")


def _of_fold(name: str, fitted: Fitted, features: pl.LazyFrame, first: date, last: date) -> pl.DataFrame:
    table = _embedded_rows(fitted, features, first, last, pl.col("date") >= first)
    guard(fitted.manifest, table)
    made = {"fold": pl.lit(name, pl.String), "fit_end": pl.lit(fitted.manifest.fit_end, pl.Date)}
    return table.select(
        "date", "ticker", *(value.alias(key) for key, value in made.items()), pl.exclude("date", "ticker")
    )


def embedded(fitted: Fitted, rows: pl.DataFrame, keys: pl.DataFrame) -> np.ndarray:
    """(R, D) float32 of the rows `keys` among `rows`.

    A date is computed alone and on one thread, so that no other date changes its last digit.

    Args:
        rows: (date, ticker) and the channels; what is not known of a session counts as 0, an average one.
        keys: sorted by (date, ticker).
    """
    import torch

    from quant_core.nn.windows import Windows

    panel, network = input_panel(rows, fitted.manifest.columns), loaded(fitted)
    windows = Windows(torch.from_numpy(np.nan_to_num(panel.values)), config_of(fitted).sequence_sessions)
    name, day = (torch.from_numpy(place) for place in panel.place(keys))
    with torch_threads(1), torch.no_grad():
        parts = [network.body(windows.at(name[part], day[part])).mean(dim=1) for part in _dates_of(keys)]
    return np.asarray(torch.cat(parts).numpy())


def embeddings_on(fitted: Fitted, features: pl.LazyFrame, days: pl.Series) -> pl.DataFrame:
    """date, ticker and `embedding_000` ... of the eligible rows on some days, all by one encoder.

    Args:
        features: Features, from the encoder's context before the first of `days` on.
        days: dates, one at least.
    Raises:
        DataError: a channel is absent.
    """
    return _embedded_rows(fitted, features, days.min(), days.max(), pl.col("date").is_in(days.implode()))  # type: ignore[arg-type]


def _embedded_rows(
    fitted: Fitted, features: pl.LazyFrame, first: date, last: date, wanted: pl.Expr
) -> pl.DataFrame:  # fmt: skip
    """date, ticker and the embedding of the eligible rows from `first` to `last` that are `wanted`."""
    columns, config = fitted.manifest.columns, config_of(fitted)
    absent = [column for column in columns if column not in features.collect_schema().names()]
    if absent:
        raise DataError(f"embeddings: channels {absent} are missing; enable daily_channels or fit the encoder again.")
    seen = pl.col("date").is_between(sessions_before(first, config.context_sessions), last)
    rows = features.filter(seen).select("date", "ticker", "is_eligible", *columns).collect().sort("date", "ticker")
    keys = rows.filter("is_eligible", wanted).select("date", "ticker")
    values = embedded(fitted, rows, keys) if keys.height else np.empty((0, config.d_model), np.float32)
    names = embedding_columns(config.d_model)
    return keys.with_columns(pl.Series(name, values[:, k]) for k, name in enumerate(names))


def _dates_of(keys: pl.DataFrame) -> Iterator["Tensor"]:
    """Row numbers of each date."""
    import torch

    ends = keys["date"].rle().struct.field("len").cum_sum().to_list()
    return (torch.arange(begin, end) for begin, end in zip([0, *ends[:-1]], ends, strict=True))
