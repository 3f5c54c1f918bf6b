"""Features once more, as loops over one ticker's rows, written from the words of their definitions.

A feature's twin lies beside its hand-computed numbers, in the test file of its module; `test_every_feature.py` finds
the twins and compares. Here: what a twin is given, and the window rule that twins share.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from quant_core.features.panel import Panel

REACH = 10


@dataclass
class Rows:
    """One ticker's (or the index's) columns over all sessions; NaN where there is nothing."""

    r: np.ndarray  # daily log total return
    priced: np.ndarray
    inputs: dict[str, np.ndarray] = field(default_factory=dict)
    lost: np.ndarray | None = None  # sessions without a price of anything
    index: "Rows | None" = None
    member: np.ndarray | None = None
    eligible: np.ndarray | None = None
    sector: int = -1  # unknown
    everyone: "list[Rows]" = field(default_factory=list)  # every ticker, this one included
    kept: dict[str, np.ndarray] = field(default_factory=dict)

    def once(self, what: str, make: "Callable[[Rows], np.ndarray]") -> np.ndarray:
        """A series of this ticker that does not depend on the session, made once."""
        if what not in self.kept:
            self.kept[what] = make(self)
        return self.kept[what]


Naive = Callable[[Rows, int, int], float]


@dataclass(frozen=True)
class Twin:
    """What one column of a feature should be: `naive(own, t, w)` at session t for a window of w sessions."""

    column: str
    windows: tuple[int, ...]
    naive: Naive


TWINS: dict[str, list[Twin]] = {}


def twin(feature: str, *columns: str, windows: tuple[int, ...] = (3, 20)) -> Callable[[Naive], Naive]:
    """Say that the decorated function computes these columns of the feature, naively.

    Args:
        columns: names with {w} for the window ({sixth}: a sixth of it); one without is compared for the first window.
        windows: sessions that the feature is called with, whatever its own are, so that a short panel fills them often.
    """

    def add(naive: Naive) -> Naive:
        TWINS.setdefault(feature, []).extend(Twin(column, windows, naive) for column in columns)
        return naive

    return add


def rows_of(panel: Panel) -> list[Rows]:
    """Each ticker of the panel as its twins see it."""
    market = Rows(panel.index_log_return_1d[0], panel.index_priced[0])
    lost = naive_lost(panel.priced)
    tickers = [
        Rows(
            panel.log_return_1d[n],
            panel.priced[n],
            {name: values[n] for name, values in panel.inputs.items()},
            lost,
            market,
            panel.member[n],
            panel.eligible[n],
            int(panel.sector[n]),
        )
        for n in range(len(panel.tickers))
    ]
    for own in tickers:
        own.everyone = tickers
    return tickers


def naive_lost(priced: np.ndarray) -> np.ndarray:
    """Sessions without any price before which at least five names had one within ten sessions."""
    days = range(priced.shape[1])
    return np.array(
        [not priced[:, t].any() and priced[:, max(t - REACH, 0) : t + 1].any(axis=1).sum() >= 5 for t in days]
    )


def full(values: np.ndarray, own: Rows, t: int, w: int, until: int | None = None) -> np.ndarray | None:
    """The values of a full window ending at `until` (t by default), or None, straight from the rule's wording."""
    end = t if until is None else until
    begin, priced = end - w + 1, own.priced
    if not priced[t] or begin < 1 or not priced[max(begin - REACH, 0) : begin].any():
        return None
    window = values[begin : end + 1]
    held_against_nobody = 0 if own.lost is None else int(np.sum(own.lost[begin : end + 1]))
    window = window[~np.isnan(window)]
    return window if len(window) + held_against_nobody >= math.ceil(round(0.9 * w, 9)) else None


def sum_of(values: np.ndarray, own: Rows, t: int, w: int) -> float:
    window = full(values, own, t, w)
    return math.nan if window is None else math.fsum(window)


def mean_of(values: np.ndarray, own: Rows, t: int, w: int) -> float:
    window = full(values, own, t, w)
    return math.nan if window is None else math.fsum(window) / len(window)


def std_of(values: np.ndarray, own: Rows, t: int, w: int) -> float:
    window = full(values, own, t, w)
    return math.nan if window is None or len(window) < 2 else float(np.std(window, ddof=1))


def levels(own: Rows, t: int, w: int) -> np.ndarray | None:
    """The window's total-return levels after each session with a return, today's being 1."""
    if full(own.r, own, t, w) is None:
        return None
    steps = own.r[t - w + 1 : t + 1]
    path = np.exp(np.cumsum(np.nan_to_num(steps)) - np.nansum(steps))
    return path[~np.isnan(steps)]


def log(values: np.ndarray | float) -> np.ndarray:
    """Natural log; NaN where there is none."""
    with np.errstate(all="ignore"):
        found = np.log(values)
    return np.where(np.isfinite(found), found, np.nan)
