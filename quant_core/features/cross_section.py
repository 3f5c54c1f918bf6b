"""A ticker among the others of its day: ranks, and distance from the mean of its sector.

The yardstick of a day is made of that day's eligible members alone; a ticker that is not eligible is measured against
them but never moves them. So a later member cannot change today's ranks, and a ticker that joins the universe has a
history from before.
"""

from collections.abc import Callable, Sequence

import numpy as np

from quant_core.calendar import SESSIONS_PER_YEAR
from quant_core.features import feature, require_windows
from quant_core.features.panel import Panel
from quant_core.features.shapes import FloatPanel

#: A sector with fewer eligible members on a day says little: its tickers are compared with the whole universe.
SMALLEST_SECTOR = 3


@feature(
    "cross_sectional_rank",
    columns=("rank_return_1d", "rank_realized_vol_21d", "rank_momentum_63d", "rank_momentum_252d"),
    fixed_windows=(1, 21, 63, 252),
    scope="cross_section",
    default=True,
    place=120,
)
def cross_sectional_rank(panel: Panel, windows: Sequence[int] = (1, 21, 63, 252)) -> dict[str, FloatPanel]:
    """Share of the day's eligible members that a ticker beats, by return, volatility and momentum.

    Args:
        panel: reads `total_return_1d`, and who is eligible.
        windows: not used; the columns have windows of their own.
    Returns:
        `rank_return_1d`, `rank_realized_vol_21d`, `rank_momentum_63d`, `rank_momentum_252d`: in [0, 1], 0.5 is the
        median, ties counted half; null where the ranked value is null or nobody is eligible.
    """
    from quant_core.features import day_kernels

    ranked = {
        "rank_return_1d": panel.log_return(1),
        "rank_realized_vol_21d": _volatility(panel, 21),
        "rank_momentum_63d": panel.log_return(63),  # the same order as the simple return's
        "rank_momentum_252d": panel.log_return(252),
    }
    return {name: day_kernels.rank_among(values, panel.eligible) for name, values in ranked.items()}


@feature(
    "sector_relative_momentum",
    columns=("sector_relative_momentum_{w}d",),
    shortest_window=21,
    scope="cross_section",
    default=True,
    place=130,
)
def sector_relative_momentum(panel: Panel, windows: Sequence[int] = (21, 63, 126, 252)) -> dict[str, FloatPanel]:
    """Momentum minus the mean momentum of the sector's eligible members on the day.

    A ticker without a known sector, or whose sector has fewer than three eligible members that day, is set against all
    eligible members.

    Args:
        panel: reads `total_return_1d`, who is eligible, and sectors.
        windows: sessions, today included; each at least 1.
    Returns:
        one column `sector_relative_momentum_{w}d` a window: a fraction (0.1 = 10 points ahead); null where the ticker's
        own momentum is null or nobody is eligible.
    Raises:
        DataError: a window below 1.
    Source: Moskowitz & Grinblatt (1999), Do Industries Explain Momentum?
    """
    from quant_core.features import kernels

    def momentum(w: int) -> FloatPanel:
        return kernels.expm1_panel(panel.log_return(w))

    require_windows("sector_relative_momentum", windows, at_least=1)
    return _less_sector(panel, "sector_relative_momentum_{w}d", windows, momentum)


@feature(
    "sector_relative_volatility",
    columns=("sector_relative_vol_{w}d_ann",),
    shortest_window=21,
    longest_window=63,
    scope="cross_section",
    default=True,
    place=140,
)
def sector_relative_volatility(panel: Panel, windows: Sequence[int] = (21, 63)) -> dict[str, FloatPanel]:
    """Realised volatility minus the mean of the sector's eligible members on the day.

    Sectors that are unknown or small are handled as in `sector_relative_momentum`.

    Args:
        panel: reads `total_return_1d`, who is eligible, and sectors.
        windows: sessions, today included; each at least 2.
    Returns:
        one column `sector_relative_vol_{w}d_ann` a window: a fraction a year; null where the ticker's own volatility is
        null or nobody is eligible.
    Raises:
        DataError: a window below 2.
    """
    require_windows("sector_relative_volatility", windows, at_least=2)
    return _less_sector(panel, "sector_relative_vol_{w}d_ann", windows, lambda w: _volatility(panel, w))


def _less_sector(
    panel: Panel, name: str, windows: Sequence[int], values: Callable[[int], FloatPanel]
) -> dict[str, FloatPanel]:
    from quant_core.features import day_kernels

    n_sectors = int(panel.sector.max(initial=-1)) + 1
    return {
        name.format(w=w): day_kernels.minus_group_mean(
            values(w), panel.eligible, panel.sector, n_sectors, SMALLEST_SECTOR
        )
        for w in windows
    }


def _volatility(panel: Panel, window_sessions: int) -> FloatPanel:
    from quant_core.features import kernels

    full = panel.full(window_sessions)
    daily = kernels.window_std(panel.log_return_1d, window_sessions, panel.first_session, full)
    return daily * np.sqrt(SESSIONS_PER_YEAR)
