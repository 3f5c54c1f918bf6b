"""A ticker against the market index: correlation, beta, relative strength, what the market does not explain.

The index is the row of instrument "index" named by `features.index_ticker`; without its rows every column here is null.
An observation is a session on which both have a return over the same span: after a gap of one of them its next return
covers more days than the other's, and that pair is left out. A missing index row counts like a missing price, except
in relative_strength.
"""

from collections.abc import Sequence
from typing import cast

import numpy as np

from quant_core.calendar import SESSIONS_PER_YEAR
from quant_core.features import feature, require_windows
from quant_core.features.panel import ANCHOR_REACH_SESSIONS, Panel, needed
from quant_core.features.shapes import BoolPanel, FloatPanel

#: Sessions for which the level of the index stands in where its vendor lost rows.
INDEX_CARRY_SESSIONS = 5


@feature("rolling_correlation", columns=("market_correlation_{w}d",), shortest_window=21, default=True, place=80)
def rolling_correlation(panel: Panel, windows: Sequence[int] = (21, 63, 126, 252)) -> dict[str, FloatPanel]:
    """Pearson correlation of daily log returns with the market index.

    Args:
        panel: reads `total_return_1d` of the ticker and of the index.
        windows: sessions, today included; each at least 3.
    Returns:
        one column `market_correlation_{w}d` a window: in [-1, 1]; null where fewer than nine tenths of the window are
        observations and where either series does not vary.
    Raises:
        DataError: a window below 3.
    """
    from quant_core.features import pair_kernels

    require_windows("rolling_correlation", windows, at_least=3)
    return {f"market_correlation_{w}d": _regression(panel, w, pair_kernels.CORRELATION) for w in windows}


@feature("rolling_beta", columns=("market_beta_{w}d",), shortest_window=63, default=True, place=90)
def rolling_beta(panel: Panel, windows: Sequence[int] = (63, 126, 252)) -> dict[str, FloatPanel]:
    """Slope of the regression, with a constant, of daily log returns on the market index's.

    cov(ticker, index) / var(index).

    Args:
        panel: reads `total_return_1d` of the ticker and of the index.
        windows: sessions, today included; each at least 3.
    Returns:
        one column `market_beta_{w}d` a window: dimensionless, 1 moves with the market; null where fewer than nine
        tenths of the window are observations and where the index does not vary.
    Raises:
        DataError: a window below 3.
    Source: Sharpe (1964), Capital Asset Prices; equals statsmodels' RollingOLS on the same observations.
    """
    from quant_core.features import pair_kernels

    require_windows("rolling_beta", windows, at_least=3)
    return {f"market_beta_{w}d": _regression(panel, w, pair_kernels.BETA) for w in windows}


@feature(
    "idiosyncratic_volatility", columns=("idiosyncratic_vol_{w}d_ann",), shortest_window=63, default=True, place=110
)
def idiosyncratic_volatility(panel: Panel, windows: Sequence[int] = (63, 126, 252)) -> dict[str, FloatPanel]:
    """Standard deviation of what the regression on the market index leaves unexplained, annualised.

    sqrt(252 x sum(e^2) / (n - 2)) of the residuals e of `rolling_beta`'s regression over n observations.

    Args:
        panel: reads `total_return_1d` of the ticker and of the index.
        windows: sessions, today included; each at least 3.
    Returns:
        one column `idiosyncratic_vol_{w}d_ann` a window: a fraction a year, two degrees of freedom lost; null where
        `rolling_beta` is null.
    Raises:
        DataError: a window below 3.
    Source: Ang, Hodrick, Xing & Zhang (2006), The Cross-Section of Volatility and Expected Returns, with the market as
        the only factor.
    """
    from quant_core.features import pair_kernels

    require_windows("idiosyncratic_volatility", windows, at_least=3)
    year = np.sqrt(SESSIONS_PER_YEAR)
    return {f"idiosyncratic_vol_{w}d_ann": _regression(panel, w, pair_kernels.RESIDUAL_STD) * year for w in windows}


@feature("relative_strength", columns=("relative_strength_{w}d",), shortest_window=21, default=True, place=100)
def relative_strength(panel: Panel, windows: Sequence[int] = (21, 63, 126, 252)) -> dict[str, FloatPanel]:
    """Log total return of the ticker minus that of the market index over the same window.

    A difference, not the quotient of two returns: the quotient has no sign to read once the index falls.

    Args:
        panel: reads `total_return_1d` of the ticker and of the index.
        windows: sessions, today included; each at least 1.
    Returns:
        one column `relative_strength_{w}d` a window: log points (0.1 = about 10 % ahead of the index); null where
        either window is not full. On a session that the index vendor lost (Yahoo's ^NSEI lacks 2019-03-29) the index
        counts as unchanged, which shifts every ticker alike; the next row carries its return.
    Raises:
        DataError: a window below 1.
    Source: Levy (1967), Relative Strength as a Criterion for Investment Selection.
    """
    require_windows("relative_strength", windows, at_least=1)
    return {f"relative_strength_{w}d": panel.log_return(w) - _index_log_return(panel, w) for w in windows}


def _index_log_return(panel: Panel, window_sessions: int) -> FloatPanel:
    """(1, T) sum of the index's log returns over the window."""
    from quant_core.features import kernels

    def make() -> FloatPanel:
        returns, priced = _carried(panel.index_log_return_1d, panel.index_priced)
        # A carried level reaches back by itself; with it the window still looks no further than every other one.
        reach = ANCHOR_REACH_SESSIONS - INDEX_CARRY_SESSIONS
        full = kernels.full_windows(returns, priced, window_sessions, needed(window_sessions), reach)
        return kernels.window_sum(returns, window_sessions, panel.first_session, full)

    return cast("FloatPanel", panel.keep("index_log_return", window_sessions, make))


def _carried(returns: FloatPanel, priced: BoolPanel) -> tuple[FloatPanel, BoolPanel]:
    """Returns and prices of the index where a lost session counts as unchanged, `INDEX_CARRY_SESSIONS` long at most."""
    recent = np.zeros_like(priced)
    for back in range(1, INDEX_CARRY_SESSIONS + 1):
        recent[:, back:] |= priced[:, :-back]
    return np.where(np.isnan(returns) & recent, 0.0, returns), priced | recent


def _regression(panel: Panel, window_sessions: int, what: int) -> FloatPanel:
    from quant_core.features import pair_kernels

    def pair() -> FloatPanel:
        index, index_priced = panel.index_log_return_1d, panel.index_priced
        return pair_kernels.paired(panel.log_return_1d, panel.priced, index, index_priced, ANCHOR_REACH_SESSIONS)

    observed = panel.keep("paired", 1, pair)
    full = panel.keep("paired_full", window_sessions, lambda: panel.full_of(observed, window_sessions))
    return pair_kernels.window_regression(
        observed, panel.index_log_return_1d, window_sessions, panel.first_session, full, what
    )
