"""Ridge that learns the return over a month: slow signals, which the week's noise hides from the other one.

Nothing but the horizon differs from `ridge`; beside it in an ensemble it votes for what lasts.
"""

from dataclasses import dataclass
from functools import partial

from quant_core.forecasting.model import MODELS, Model
from quant_core.forecasting.models.ridge import RidgeConfig, fit, importance, predict


@dataclass(frozen=True)
class Ridge21Config(RidgeConfig):
    """Settings of ridge, over 21 sessions unless told otherwise."""

    horizon_sessions: int = 21


SUMMARY = "Ridge over a month instead of a week: slow signals."
MODELS.register("ridge_21d")(
    Model("ridge_21d", Ridge21Config, partial(fit, kind="ridge_21d"), predict, summary=SUMMARY, importance=importance)
)
