"""How much trades and what trading costs: turnover, abnormal turnover, price impact, close against the day's average.

Everything is in rupees: `turnover_inr`, or close x volume where the source has none. A split multiplies the number of
shares and divides their price, so shares traded jump on a split and rupees do not.
"""

from collections.abc import Sequence

import numpy as np

from quant_core.features import feature, require_windows
from quant_core.features.panel import Panel
from quant_core.features.shapes import FloatPanel

RUPEES_PER_CRORE = 1e7
#: A day's average price lies between its low and its high; beyond this share outside, turnover is in another unit.
VWAP_TOLERANCE = 0.005
TURNOVER = ("turnover_inr", "close_inr", "volume_shares")


@feature(
    "volume_shock",
    columns=("volume_shock_{w}d",),
    shortest_window=5,
    longest_window=63,
    reads=TURNOVER,
    default=True,
    place=160,
)
def volume_shock(panel: Panel, windows: Sequence[int] = (5, 21, 63)) -> dict[str, FloatPanel]:
    """Log of today's rupee turnover over its mean of the sessions before today.

    Rupees, as the number of shares jumps on a split.

    Args:
        panel: reads turnover in rupees, which a split does not change.
        windows: sessions before today; each at least 1.
    Returns:
        one column `volume_shock_{w}d` a window: log points (0.69 = twice the usual); null where nothing traded today
        and in each ticker's first w + 1 rows.
    Raises:
        DataError: a window below 1.
    """
    from quant_core.features import kernels

    require_windows("volume_shock", windows, at_least=1)
    traded, columns = turnover_inr(panel), {}
    for w in windows:
        full = panel.full_before_of(traded, w)
        usual = kernels.mean_before(traded, w, panel.first_session, full)
        columns[f"volume_shock_{w}d"] = kernels.log_panel(_ratio(traded, usual))
    return columns


@feature(
    "turnover",
    columns=("log_turnover_{w}d",),
    shortest_window=21,
    longest_window=63,
    reads=TURNOVER,
    default=True,
    place=210,
)
def turnover(panel: Panel, windows: Sequence[int] = (21, 63)) -> dict[str, FloatPanel]:
    """Log of the mean rupee turnover: how large and liquid a ticker is.

    Args:
        panel: reads turnover in rupees.
        windows: sessions, today included; each at least 1.
    Returns:
        one column `log_turnover_{w}d` a window: natural log of rupees a day (18.4 = 10 crore); null in each ticker's
        first w rows and where nothing traded.
    Raises:
        DataError: a window below 1.
    """
    from quant_core.features import kernels

    require_windows("turnover", windows, at_least=1)
    traded, first = turnover_inr(panel), panel.first_session
    return {
        f"log_turnover_{w}d": kernels.log_panel(kernels.window_mean(traded, w, first, panel.full_of(traded, w)))
        for w in windows
    }


@feature(
    "amihud_illiquidity",
    columns=("amihud_{w}d_per_crore",),
    shortest_window=21,
    longest_window=63,
    reads=("total_return_1d", *TURNOVER),
    default=True,
    place=200,
)
def amihud_illiquidity(panel: Panel, windows: Sequence[int] = (21, 63)) -> dict[str, FloatPanel]:
    """Mean size of the daily return per crore of rupees traded: how far money moves the price.

    mean(|simple return| / turnover in crore).

    Args:
        panel: reads `total_return_1d` and turnover in rupees; a session without turnover is a missing value.
        windows: sessions, today included; each at least 1.
    Returns:
        one column `amihud_{w}d_per_crore` a window: |simple return| per 10,000,000 rupees; null in each ticker's first
        w rows and where fewer than nine tenths of the sessions have turnover.
    Raises:
        DataError: a window below 1.
    Source: Amihud (2002), Illiquidity and Stock Returns.
    """
    from quant_core.features import kernels

    require_windows("amihud_illiquidity", windows, at_least=1)
    crores = turnover_inr(panel) / RUPEES_PER_CRORE
    impact = _ratio(np.abs(panel.inputs["total_return_1d"]), crores)
    return {
        f"amihud_{w}d_per_crore": kernels.window_mean(impact, w, panel.first_session, panel.full_of(impact, w))
        for w in windows
    }


@feature("vwap_gap", columns=("vwap_gap_1d",), fixed_windows=(1,), reads=(*TURNOVER, "high_inr", "low_inr"))
def vwap_gap(panel: Panel, windows: Sequence[int] = (1,)) -> dict[str, FloatPanel]:
    """Close over the day's volume-weighted average price, minus 1.

    Off by default: a source without turnover leaves it null, and a model that needs complete rows drops its tickers.

    Args:
        panel: reads `turnover_inr`, `volume_shares` and the day's bar.
        windows: not used; only today is read.
    Returns:
        `vwap_gap_1d`: a fraction, above 0 when the close was above the day's average; null without turnover or volume,
        and where their quotient lies more than 0.5 % outside the day's range (turnover in another unit).
    Source: Berkowitz, Logue & Noser (1988), The Total Cost of Transactions on the NYSE.
    """
    average = _ratio(panel.inputs["turnover_inr"], panel.inputs["volume_shares"])
    inside = (average >= panel.inputs["low_inr"] * (1.0 - VWAP_TOLERANCE)) & (
        average <= panel.inputs["high_inr"] * (1.0 + VWAP_TOLERANCE)
    )
    return {"vwap_gap_1d": np.where(inside, _ratio(panel.inputs["close_inr"], average) - 1.0, np.nan)}


def turnover_inr(panel: Panel) -> FloatPanel:
    """(N, T) rupees traded: the source's figure, or close x volume where it gives none."""
    made = panel.inputs["close_inr"] * panel.inputs["volume_shares"]
    return np.where(np.isnan(panel.inputs["turnover_inr"]), made, panel.inputs["turnover_inr"])


def _ratio(above: FloatPanel, below: FloatPanel) -> FloatPanel:
    """above / below; NaN where `below` is not above zero."""
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0.0)
