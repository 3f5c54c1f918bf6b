"""One-day channels: each session's own move, in units of the ticker's usual day, for models that read sequences.

A rolling feature of today shares most of its window with yesterday's; these share nothing, so that a network sees every
session once and a masked one cannot be read off its neighbours. They are scaled already and never normalised again.

Source: the raw-sequence setting of qlib's Alpha360 (sixty sessions of price and volume ratios), here as returns.
"""

from collections.abc import Sequence

import numpy as np

from quant_core.features import feature
from quant_core.features.liquidity import TURNOVER, turnover_inr
from quant_core.features.panel import Panel
from quant_core.features.range_volatility import log_ratio
from quant_core.features.shapes import FloatPanel
from quant_core.schema import CHANNEL_PREFIX, STATIC_PREFIX

#: Sessions that the usual day is measured over: those of the labels' volatility.
USUAL_SESSIONS = 63
#: A channel is cut here, in usual days: one row must not rule a fit.
MOST_USUAL_DAYS = 8.0
BAR = ("open_inr", "high_inr", "low_inr", "close_inr")


@feature(
    "daily_channels",
    columns=(
        "channel_return_1d",
        "channel_gap_1d",
        "channel_intraday_1d",
        "channel_range_1d",
        "channel_turnover_1d",
        "channel_volatility_1d",
        "channel_market_1d",
        "channel_excess_1d",
    ),
    fixed_windows=(USUAL_SESSIONS,),
    reads=("overnight_return_1d", *BAR, *TURNOVER),
    default=True,
    place=300,
    is_scaled=True,
)
def daily_channels(panel: Panel, windows: Sequence[int] = (USUAL_SESSIONS,)) -> dict[str, FloatPanel]:
    """What happened in one session, in units of the ticker's usual day s, the standard deviation of 63 log returns.

    return = r / s, gap = overnight / s, intraday = ln(close / open) / s, range = ln(high / low) / s - 1, turnover =
    ln(turnover / mean of 63 sessions before) / 2, volatility = ln(s of 21 / s), market = index return / the
    index's own s, excess = (r - index return) / s; each cut at 8.

    Args:
        panel: reads `total_return_1d` of the ticker and of the index, `overnight_return_1d`, the day's bar, turnover.
        windows: the sessions of a usual day, today included.
    Returns:
        `channel_*_1d`: usual days, about 1 in size; null where what it is made of is, so in a ticker's first 63 rows.
    Source: qlib's Alpha360 reads raw sessions likewise.
    """
    from quant_core.features import kernels

    (w,), first = tuple(windows), panel.first_session
    usual = _usual(panel.log_return_1d, w, first, panel.full(w))
    market = _market(panel, w)
    recent = _usual(panel.log_return_1d, w // 3, first, panel.full(w // 3))
    traded = turnover_inr(panel)
    before = kernels.mean_before(traded, w, first, panel.full_before_of(traded, w))
    volume = np.divide(traded, before, out=np.full_like(traded, np.nan), where=before > 0.0)
    moves = {
        "return": panel.log_return_1d / usual,
        "gap": kernels.log1p_panel(panel.inputs["overnight_return_1d"]) / usual,
        "intraday": log_ratio(panel, "close_inr", "open_inr") / usual,
        "range": log_ratio(panel, "high_inr", "low_inr") / usual - 1.0,
        "turnover": kernels.log_panel(volume) / 2.0,
        "volatility": kernels.log_panel(recent / usual),
        "market": np.broadcast_to(market, usual.shape) + 0.0 * usual,
        "excess": (panel.log_return_1d - panel.index_log_return_1d) / usual,
    }
    return {
        f"{CHANNEL_PREFIX}{name}_1d": np.clip(values, -MOST_USUAL_DAYS, MOST_USUAL_DAYS)
        for name, values in moves.items()
    }


@feature("sector_code", columns=("static_sector_code",), fixed_windows=(1,), default=True, place=310, is_scaled=True)
def sector_code(panel: Panel, windows: Sequence[int] = (1,)) -> dict[str, FloatPanel]:
    """Number of the ticker's sector among all sectors by name, for models that tell sectors apart.

    Args:
        panel: reads the sectors.
        windows: not used.
    Returns:
        `static_sector_code`: 0, 1, 2 ..; null for a ticker whose sector is unknown.
    """
    code = np.where(panel.sector > 0, panel.sector - 1.0, np.nan)  # sectors are numbered from 1, -1 is unknown
    return {f"{STATIC_PREFIX}sector_code": np.where(panel.priced, code[:, None], np.nan)}


def _usual(steps: FloatPanel, window: int, first_session: int, full: np.ndarray) -> FloatPanel:
    """Trailing standard deviation (ddof 1), NaN where it is 0."""
    from quant_core.features import kernels

    deviation = kernels.window_std(steps, window, first_session, full)
    return np.where(deviation > 0.0, deviation, np.nan)


def _market(panel: Panel, window: int) -> FloatPanel:
    """(1, T) the index's return in its own usual days."""
    from quant_core.features import kernels
    from quant_core.features.panel import ANCHOR_REACH_SESSIONS, needed

    steps = panel.index_log_return_1d
    full = kernels.full_windows(steps, panel.index_priced, window, needed(window), ANCHOR_REACH_SESSIONS)
    return steps / _usual(steps, window, panel.first_session, full)
