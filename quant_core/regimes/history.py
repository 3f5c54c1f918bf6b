"""The fit window in hindsight: smoothed states, for charts. They know what came after: nothing may trade on them."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from quant_core.dense import Floats
from quant_core.fitted import Fitted
from quant_core.regimes.config import method_of
from quant_core.regimes.fit import by_name
from quant_core.regimes.table import arrays_of, methods_of, over_fit_window
from quant_core.schema import CRISIS, REGIME_NAMES, RegimeHistory


def regime_history(fitted: Fitted, inputs: pl.DataFrame, embedded: pl.DataFrame | None = None) -> pl.DataFrame:
    """Smoothed beside filtered regimes of the fit window, both by parameters that have seen the whole of it.

    Args:
        inputs, embedded: as they were fitted on.
    Returns:
        RegimeHistory, of the methods for which the future tells something of the past.
    """
    return pl.concat([RegimeHistory.create_empty(), *_histories(fitted, inputs, embedded)]).sort("date", "method")


def _histories(fitted: Fitted, inputs: pl.DataFrame, embedded: pl.DataFrame | None) -> Iterator[pl.DataFrame]:
    for name in methods_of(fitted):
        smooth = method_of(name).smooth
        if smooth is not None:
            own = arrays_of(fitted, name)
            days, filtered, values = over_fit_window(fitted, inputs, name, embedded)
            then, known = by_name(own, filtered), by_name(own, smooth(own, values))
            yield pl.DataFrame({
                "date": days, "method": [name] * len(days), "filtered_regime": _labels(then),
                "smoothed_regime": _labels(known), "filtered_crisis": then[:, REGIME_NAMES.index(CRISIS)],
                "smoothed_crisis": known[:, REGIME_NAMES.index(CRISIS)],
            })  # fmt: skip


def _labels(names: Floats) -> pl.Series:
    return pl.Series(np.array(REGIME_NAMES)[names.argmax(axis=1)], dtype=pl.String)
