"""Labels, forecasters and the scoring of forecasts.

A forecaster is one module in `models/` that registers a `Model`; it meets other stages only as tables and artifacts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from quant_core.fitted import Manifest
from quant_core.registry import Registry


@dataclass(frozen=True)
class Fitted:
    """A fitted forecaster: what `fitted.save` writes and `Fitted(*fitted.load(directory))` reads."""

    arrays: dict[str, np.ndarray]
    manifest: Manifest


@dataclass(frozen=True)
class Model:
    """A forecaster as the registry knows it.

    Args:
        config_class: frozen dataclass of settings; unknown keys fail at construction.
        fit: (training window, config, seed) -> Fitted; bit-identical when repeated.
        predict: (fitted, features) -> rows (date, ticker, score), only after the artifact's fit_end.
        importance: fitted -> rows (feature, coefficient, importance_share), or None where the model has none.
    """

    name: str
    config_class: type[Any]
    fit: Callable[[pl.DataFrame, Any, int], Fitted]
    predict: Callable[[Fitted, pl.DataFrame], pl.DataFrame]
    uses_gpu: bool = False
    summary: str = ""
    importance: Callable[[Fitted], pl.DataFrame] | None = None


MODELS: Registry[Model] = Registry("model", "quant_core.forecasting.models")
