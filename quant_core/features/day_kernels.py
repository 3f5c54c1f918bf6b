"""Statistics of one day's cross-section on (N, T) panels, and the way from panel to long rows.

Sums run over tickers in panel order and count only the cells that are asked for, so a day's value does not depend on
who else is in the panel.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant_core.compiling import compiled
from quant_core.features.shapes import BoolPanel, FloatPanel, Row

#: Sessions handled together when a panel is read by day: eight float64 values fill one cache line.
TILE = 8


@compiled
def eligible(listed: BoolPanel, priced: BoolPanel, member: BoolPanel, history: int, need: int, reach: int) -> BoolPanel:
    """Member and priced today, `need` prices in the last `history` sessions, and a row `history` sessions ago.

    The last test asks for any row within the `reach` sessions that end `history` sessions ago: a session that is
    missing for the whole market must not make every ticker ineligible.
    """
    tickers, sessions = listed.shape
    out = np.zeros((tickers, sessions), dtype=np.bool_)
    n_rows = np.zeros(sessions + 1, dtype=np.int64)
    n_prices = np.zeros(sessions + 1, dtype=np.int64)
    for n in range(tickers):
        for t in range(sessions):
            n_rows[t + 1] = n_rows[t] + listed[n, t]
            n_prices[t + 1] = n_prices[t] + priced[n, t]
        for t in range(history, sessions):
            begin = t - history + 1
            old = n_rows[begin] > n_rows[max(begin - reach, 0)]
            enough = n_prices[t + 1] - n_prices[begin] >= need
            out[n, t] = member[n, t] and priced[n, t] and old and enough
    return out


@compiled
def _walk(values: FloatPanel, among: BoolPanel, order: NDArray[np.int64]) -> FloatPanel:
    """Ranks of days in rows, given each day's ascending order: share of `among` cells below, ties counted half."""
    days, cells = values.shape
    out = np.full((days, cells), np.nan)
    for day in range(days):
        count = 0
        for n in range(cells):
            count += among[day, n] and values[day, n] == values[day, n]
        below, begin = 0, 0
        while count and begin < cells and values[day, order[day, begin]] == values[day, order[day, begin]]:
            value, end, ties = values[day, order[day, begin]], begin, 0
            while end < cells and values[day, order[day, end]] == value:
                ties += among[day, order[day, end]]
                end += 1
            for k in range(begin, end):
                out[day, order[day, k]] = (below + 0.5 * ties) / count
            below += ties
            begin = end
    return out


def rank_among(values: FloatPanel, among: BoolPanel) -> FloatPanel:
    """Share of the day's `among` cells with a value below this cell's, ties counted half: (N, T), in [0, 1]."""
    by_day = np.ascontiguousarray(values.T)
    ranks = _walk(by_day, np.ascontiguousarray(among.T), np.argsort(by_day, axis=1))  # numpy sorts NaN to the end
    return np.ascontiguousarray(ranks.T)


def rank_rows(values: Row, among: Row, first_row: NDArray[np.int64]) -> Row:
    """The same on long rows sorted by date, among the `among` rows only, minus one half; NaN elsewhere.

    Args:
        values: float64; NaN for no value.
        among: bool.
        first_row: row at which each date begins.
    """
    counts = np.diff(first_row, append=len(values))
    present = np.arange(counts.max(initial=0))[None, :] < counts[:, None]
    by_day = np.full(present.shape, np.nan)  # (days, most tickers of a day)
    by_day[present] = np.where(among, values, np.nan)
    ranks = _walk(by_day, present, np.argsort(by_day, axis=1))
    return np.asarray(ranks[present] - 0.5)


@compiled
def minus_group_mean(
    values: FloatPanel, among: BoolPanel, group: NDArray[np.int64], n_groups: int, least: int
) -> FloatPanel:
    """Each value minus the mean over the day's `among` cells of its group.

    Groups below `least` such cells on the day, and tickers without a group (-1), are set against all `among` cells.
    """
    tickers, sessions = values.shape
    sums, counts = np.zeros((n_groups + 1, sessions)), np.zeros((n_groups + 1, sessions), dtype=np.int64)
    for n in range(tickers):
        for t in range(sessions):
            if among[n, t] and values[n, t] == values[n, t]:
                sums[n_groups, t] += values[n, t]
                counts[n_groups, t] += 1
                if group[n] >= 0:
                    sums[group[n], t] += values[n, t]
                    counts[group[n], t] += 1
    out = np.full((tickers, sessions), np.nan)
    for n in range(tickers):
        for t in range(sessions):
            own = group[n] if group[n] >= 0 and counts[group[n], t] >= least else n_groups
            if counts[own, t]:
                out[n, t] = values[n, t] - sums[own, t] / counts[own, t]
    return out


@compiled
def count_signs(values: FloatPanel, among: BoolPanel) -> NDArray[np.int64]:
    """(3, T): how many of the day's `among` cells are above, below and at zero."""
    tickers, sessions = values.shape
    out = np.zeros((3, sessions), dtype=np.int64)
    for n in range(tickers):
        for t in range(sessions):
            if among[n, t]:
                out[0, t] += values[n, t] > 0.0
                out[1, t] += values[n, t] < 0.0
                out[2, t] += values[n, t] == 0.0
    return out


@compiled
def scatter(
    values: Row, wanted: NDArray[np.bool_], ticker: NDArray[np.uint32], session: NDArray[np.uint32], out: NDArray[Any]
) -> None:
    """out[ticker, session] = values, the way from long rows to an (N, T) panel; only of the `wanted` rows."""
    for row in range(len(values)):
        if wanted[row]:
            out[ticker[row], session[row]] = values[row]


@compiled
def melt(
    panel: NDArray[Any],
    listed: BoolPanel,
    begin: int,
    first_row: NDArray[np.int64],
    counts: NDArray[np.int64],
    out: NDArray[Any],
) -> None:
    """Copy listed cells of sessions begin.. to long order: by session, then by ticker.

    Args:
        first_row: for each session from `begin` on, the row of its first listed ticker.
        counts: for each of them, how many of the panel's tickers are listed.
        out: one slot a listed cell of the whole table.
    """
    tickers, sessions = panel.shape
    for tile in range(begin, sessions, TILE):
        for t in range(tile, min(tile + TILE, sessions)):
            row = np.uint64(first_row[t - begin])
            if counts[t - begin] == tickers:
                for n in range(np.uint64(tickers)):
                    out[row + n] = panel[n, t]
            else:
                for n in range(tickers):
                    if listed[n, t]:
                        out[row] = panel[n, t]
                        row += np.uint64(1)
