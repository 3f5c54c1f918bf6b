"""Features beyond the basic ones against naive loops, one ticker and one day at a time, on random panels with holes.

Each feature is called with short windows, whatever its own are, so that a short panel fills them many times.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import cached_property

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_core.calendar import sessions
from quant_core.features import BASIC_FEATURES, FEATURES
from quant_core.features.panel import Panel, build_panel

SHORT = (3, 20)
WINDOWS = {
    "momentum_12_1": (24, 30),
    "vol_regime": (12, 18),
    "vwap_gap": (1,),
    "cross_sectional_rank": (1, 21, 63, 252),
}
HISTORY = 15


@dataclass(frozen=True)
class Rows:
    """One ticker's (or the index's) columns over all sessions; NaN where there is nothing."""

    r: np.ndarray  # daily log total return
    priced: np.ndarray
    inputs: dict[str, np.ndarray]
    index: "Rows | None" = None
    lost: np.ndarray | None = None  # sessions without a price of anything

    @cached_property
    def traded(self) -> np.ndarray:
        made = self.inputs["close_inr"] * self.inputs["volume_shares"]
        return np.where(np.isnan(self.inputs["turnover_inr"]), made, self.inputs["turnover_inr"])

    @cached_property
    def gap(self) -> np.ndarray:
        return np.where(np.isnan(self.inputs["open_inr"]), np.nan, self.inputs["overnight_return_1d"])

    @cached_property
    def impact(self) -> np.ndarray:
        traded = np.where(self.traded > 0, self.traded, np.nan)
        return np.abs(self.inputs["total_return_1d"]) / (traded / 1e7)

    @cached_property
    def parkinson(self) -> np.ndarray:
        return log(self.inputs["high_inr"] / self.inputs["low_inr"]) ** 2 / (4 * math.log(2))

    @cached_property
    def garman_klass(self) -> np.ndarray:
        spread = log(self.inputs["high_inr"] / self.inputs["low_inr"]) ** 2
        return 0.5 * spread - (2 * math.log(2) - 1) * log(self.inputs["close_inr"] / self.inputs["open_inr"]) ** 2

    @cached_property
    def yang_zhang(self) -> np.ndarray:
        o, h, low, c = (log(self.inputs[name]) for name in ("open_inr", "high_inr", "low_inr", "close_inr"))
        inside = (h - o) * (h - c) + (low - o) * (low - c)
        days = np.column_stack([np.log1p(self.inputs["overnight_return_1d"]), c - o, inside])
        days[np.isnan(days).any(axis=1)] = np.nan
        return days

    @cached_property
    def observed(self) -> np.ndarray:
        """Returns on sessions where the index has one over the same span."""
        spans = [[span(side.priced, t) for t in range(len(self.r))] for side in (self, self.index)]
        same = [
            self.priced[t] and self.index.priced[t] and own == other > 0
            for t, (own, other) in enumerate(zip(*spans, strict=True))
        ]
        return np.where(np.array(same) & ~np.isnan(self.index.r), self.r, np.nan)


def full(values: np.ndarray, own: Rows, t: int, w: int, until: int | None = None) -> np.ndarray | None:
    """The values of a full window ending at `until` (t by default), or None, straight from the rule's wording."""
    end = t if until is None else until
    begin, priced = end - w + 1, own.priced
    if not priced[t] or begin < 1 or not priced[max(begin - 10, 0) : begin].any():
        return None
    window = values[begin : end + 1]
    held_against_nobody = int(np.sum(own.lost[begin : end + 1]))
    window = window[~np.isnan(window)]
    return window if len(window) + held_against_nobody >= math.ceil(round(0.9 * w, 9)) else None


def naive_lost(priced: np.ndarray) -> np.ndarray:
    """Sessions without any price before which at least five names had one within ten sessions."""
    days = range(priced.shape[1])
    return np.array([not priced[:, t].any() and priced[:, max(t - 10, 0) : t + 1].any(axis=1).sum() >= 5 for t in days])


def span(priced: np.ndarray, t: int) -> int:
    """Sessions since the row before, if that was within ten."""
    before = np.flatnonzero(priced[:t])
    return t - int(before[-1]) if len(before) and t - before[-1] <= 10 else 0


def regression(own: Rows, t: int, w: int) -> tuple[float, float, float]:
    """Slope, correlation and annualised residual deviation."""
    y = full(own.observed, own, t, w)
    if y is None or len(y) < 3:
        return math.nan, math.nan, math.nan
    x = own.index.r[t - w + 1 : t + 1][~np.isnan(own.observed[t - w + 1 : t + 1])]
    dx, dy = x - x.mean(), y - y.mean()
    slope = dx @ dy / (dx @ dx)
    residual = dy - slope * dx
    flat = dy @ dy <= len(y) * (1e-12 * y.mean()) ** 2
    correlation = math.nan if flat else slope * math.sqrt((dx @ dx) / (dy @ dy))
    return slope, correlation, math.sqrt(residual @ residual / (len(y) - 2) * 252)


def levels(own: Rows, t: int, w: int) -> np.ndarray | None:
    """The window's levels after each session with a return, today's being 1."""
    if full(own.r, own, t, w) is None:
        return None
    steps = own.r[t - w + 1 : t + 1]
    path = np.exp(np.cumsum(np.nan_to_num(steps)) - np.nansum(steps))
    return path[~np.isnan(steps)]


def mean_of(values: np.ndarray, own: Rows, t: int, w: int) -> float:
    window = full(values, own, t, w)
    return math.nan if window is None else math.fsum(window) / len(window)


def std_of(values: np.ndarray, own: Rows, t: int, w: int) -> float:
    window = full(values, own, t, w)
    return math.nan if window is None or len(window) < 2 else float(np.std(window, ddof=1))


def sum_of(values: np.ndarray, own: Rows, t: int, w: int) -> float:
    window = full(values, own, t, w)
    return math.nan if window is None else math.fsum(window)


def carried_index_sum(own: Rows, t: int, w: int) -> float:
    """Sum of the index's returns where a session lost within five of its last level counts as unchanged."""
    index = own.index
    recent = np.array([index.priced[max(s - 5, 0) : s].any() for s in range(len(index.r))])
    priced = index.priced | recent
    returns = np.where(np.isnan(index.r) & recent, 0.0, index.r)
    begin = t - w + 1
    if not priced[t] or begin < 1 or not priced[max(begin - 5, 0) : begin].any():
        return math.nan
    window = returns[begin : t + 1]
    window = window[~np.isnan(window)]
    return math.fsum(window) if len(window) >= math.ceil(round(0.9 * w, 9)) else math.nan


def log(values: np.ndarray | float) -> np.ndarray:
    with np.errstate(all="ignore"):
        found = np.log(values)
    return np.where(np.isfinite(found), found, np.nan)


def yang_zhang(own: Rows, t: int, w: int) -> float:
    if full(own.yang_zhang[:, 0], own, t, w) is None:
        return math.nan
    kept = own.yang_zhang[t - w + 1 : t + 1]
    kept = kept[~np.isnan(kept[:, 0])]
    n = len(kept)
    k = 0.34 / (1.34 + (n + 1) / (n - 1))
    variance = np.var(kept[:, 0], ddof=1) + k * np.var(kept[:, 1], ddof=1) + (1 - k) * kept[:, 2].mean()
    return math.sqrt(252 * variance)


def shock(own: Rows, t: int, w: int) -> float:
    usual = full(own.traded, own, t, w, until=t - 1)
    if usual is None or not own.traded[t] > 0 or not math.fsum(usual) > 0:
        return math.nan
    return math.log(own.traded[t] / (math.fsum(usual) / len(usual)))


def vwap(own: Rows, t: int) -> float:
    day = {name: values[t] for name, values in own.inputs.items()}
    if not day["volume_shares"] > 0 or math.isnan(day["turnover_inr"]):
        return math.nan
    average = day["turnover_inr"] / day["volume_shares"]
    return day["close_inr"] / average - 1 if 0.995 * day["low_inr"] <= average <= 1.005 * day["high_inr"] else math.nan


def ratio(above: float, below: float) -> float:
    return above / below if below > 0 else math.nan


def against(values: np.ndarray | None, how: Callable[[np.ndarray], float]) -> float:
    return math.nan if values is None else 1.0 / how(values) - 1.0


Naive = Callable[[Rows, int, int], float]
#: One column of each feature: its name with {w} for the window, and what it should be at session t.
NAIVE: dict[str, dict[str, Naive]] = {
    "momentum_12_1": {
        "momentum_{w}d_skip_21d": lambda own, t, w: math.expm1(sum_of(own.r, own, t, w) - sum_of(own.r, own, t, 21))
    },
    "short_term_reversal": {"reversal_{w}d": lambda own, t, w: -math.expm1(sum_of(own.r, own, t, w))},
    "distance_to_52w_high": {"distance_to_high_{w}d": lambda own, t, w: against(levels(own, t, w), np.max)},
    "distance_to_average": {"distance_to_average_{w}d": lambda own, t, w: against(levels(own, t, w), np.mean)},
    "rolling_beta": {"market_beta_{w}d": lambda own, t, w: regression(own, t, w)[0]},
    "rolling_correlation": {"market_correlation_{w}d": lambda own, t, w: regression(own, t, w)[1]},
    "idiosyncratic_volatility": {"idiosyncratic_vol_{w}d_ann": lambda own, t, w: regression(own, t, w)[2]},
    "relative_strength": {
        "relative_strength_{w}d": lambda own, t, w: sum_of(own.r, own, t, w) - carried_index_sum(own, t, w)
    },
    "vol_regime": {},
    "gap_stats": {
        "gap_1d": lambda own, t, w: own.gap[t],
        "gap_mean_{w}d": lambda own, t, w: mean_of(own.gap, own, t, w),
        "gap_std_{w}d": lambda own, t, w: std_of(own.gap, own, t, w),
        "gap_max_abs_{w}d": lambda own, t, w: (
            math.nan if full(own.gap, own, t, w) is None else float(np.nanmax(np.abs(own.gap[t - w + 1 : t + 1])))
        ),
    },
    "volume_shock": {"volume_shock_{w}d": lambda own, t, w: shock(own, t, w)},
    "turnover": {"log_turnover_{w}d": lambda own, t, w: float(log(mean_of(own.traded, own, t, w)))},
    "amihud_illiquidity": {"amihud_{w}d_per_crore": lambda own, t, w: mean_of(own.impact, own, t, w)},
    "vwap_gap": {"vwap_gap_1d": lambda own, t, w: vwap(own, t)},
    "parkinson_volatility": {
        "parkinson_vol_{w}d_ann": lambda own, t, w: math.sqrt(252 * mean_of(own.parkinson, own, t, w))
    },
    "garman_klass_volatility": {
        "garman_klass_vol_{w}d_ann": lambda own, t, w: math.sqrt(252 * mean_of(own.garman_klass, own, t, w))
    },
    "yang_zhang_volatility": {"yang_zhang_vol_{w}d_ann": lambda own, t, w: yang_zhang(own, t, w)},
}
for _w in WINDOWS["vol_regime"]:
    NAIVE["vol_regime"][f"vol_ratio_{_w // 6}d_{_w}d"] = lambda own, t, _, long=_w: ratio(
        std_of(own.r, own, t, long // 6), std_of(own.r, own, t, long)
    )


def check_by_ticker(panel: Panel) -> None:
    market = Rows(panel.index_log_return_1d[0], panel.index_priced[0], {})
    lost = naive_lost(panel.priced)
    tickers = [
        Rows(panel.log_return_1d[n], panel.priced[n], {name: v[n] for name, v in panel.inputs.items()}, market, lost)
        for n in range(len(panel.tickers))
    ]
    for name, columns in NAIVE.items():
        windows = WINDOWS.get(name, SHORT)
        found = FEATURES[name].function(panel, windows)
        for template, naive in columns.items():
            for w in windows if "{w}" in template else windows[:1]:
                for n, own in enumerate(tickers):
                    wanted = [naive(own, t, w) for t in range(len(panel.days))]
                    np.testing.assert_allclose(
                        found[template.format(w=w)][n], wanted, rtol=1e-9, atol=1e-9, err_msg=f"{template} {w} {n}"
                    )


def check_by_day(panel: Panel) -> None:
    """Ranks, sector means and breadth, from the members and the eligible of each day."""
    returns = FEATURES["log_returns"].function(panel, (1, 7))
    ranks = FEATURES["cross_sectional_rank"].function(panel, (1,))["rank_return_1d"]
    relative = FEATURES["sector_relative_momentum"].function(panel, (7,))["sector_relative_momentum_7d"]
    breadth = FEATURES["breadth_indicators"].function(panel, (5,))
    above = FEATURES["breadth_above_average"].function(panel, (7,))["share_above_average_7d"]
    distance = FEATURES["distance_to_average"].function(panel, (7,))["distance_to_average_7d"]
    daily = []
    for t in range(len(panel.days)):
        one, week = returns["log_return_1d"][:, t], np.expm1(returns["log_return_7d"][:, t])
        chosen = one[panel.eligible[:, t] & ~np.isnan(one)]
        wanted = [
            ((chosen < v).sum() + 0.5 * (chosen == v).sum()) / len(chosen) if len(chosen) else np.nan for v in one
        ]
        np.testing.assert_allclose(ranks[:, t], np.where(np.isnan(one), np.nan, wanted), rtol=1e-14)
        everyone = panel.eligible[:, t] & ~np.isnan(week)
        for n in range(len(panel.tickers)):
            peers = everyone & (panel.sector == panel.sector[n]) & (panel.sector[n] >= 0)
            against_whom = week[peers if peers.sum() >= 3 else everyone]
            mean = against_whom.mean() if len(against_whom) else np.nan
            np.testing.assert_allclose(relative[n, t], week[n] - mean, rtol=1e-10, atol=1e-14)
        moves = one[panel.member[:, t] & ~np.isnan(one)]
        up, down = int((moves > 0).sum()), int((moves < 0).sum())
        daily.append((up - down) / max(up + down, 1) if len(moves) else np.nan)
        over = distance[:, t][panel.member[:, t] & ~np.isnan(distance[:, t])]
        np.testing.assert_allclose(above[0, t], (over > 0).mean() if len(over) else np.nan, rtol=1e-14)
    np.testing.assert_allclose(breadth["breadth_1d"][0], daily, rtol=1e-14)
    series = np.array(daily)
    naive = Rows(series, ~np.isnan(series), {}, lost=naive_lost(panel.priced))
    means = [mean_of(series, naive, t, 5) for t in range(len(series))]
    np.testing.assert_allclose(breadth["breadth_mean_5d"][0], means, rtol=1e-12, atol=1e-14)


def panel_of(prices: pl.DataFrame, sectors: pl.DataFrame) -> Panel:
    reads = tuple(dict.fromkeys(column for name in FEATURES for column in FEATURES[name].reads))
    rows = prices.filter(pl.col("instrument") == "equity")
    index = prices.filter(pl.col("instrument") == "index")
    return build_panel(rows, reads, index=index, sectors=sectors, min_history_sessions=HISTORY)


def test_every_feature_has_a_naive_twin() -> None:
    by_day = {name for name in FEATURES if FEATURES[name].scope != "ticker"}
    assert {*NAIVE, *BASIC_FEATURES, *by_day} == set(FEATURES)


@pytest.mark.parametrize("seed", range(2))
def test_features_equal_naive_loops_on_random_panels(make_random_prices, sectors, seed: int) -> None:
    first = sessions(date(2012, 1, 1), date(2014, 1, 1))[17 * seed]  # another place in the blocks each time
    panel = panel_of(make_random_prices(6, 110, seed=seed, first=first, gap_share=0.03), sectors)
    check_by_ticker(panel)
    check_by_day(panel)


@settings(max_examples=25, deadline=None)
@given(
    steps=st.lists(
        st.one_of(
            st.integers(-500, 1000).map(lambda k: k / 1000), st.sampled_from([0.0, 0.01]), st.none(), st.just(math.nan)
        ),
        min_size=40,
        max_size=60,
    ),
    late=st.integers(0, 25),
    early=st.integers(15, 40),
    holes=st.sets(st.integers(1, 39), max_size=4),
    offset=st.integers(0, 400),
    seed=st.integers(0, 1000),
)
def test_features_equal_naive_loops_on_any_panel(
    make_prices, sectors, steps, late: int, early: int, holes: set[int], offset: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    moves = random.normal(0.0, 0.02, (4, len(steps)))
    returns = {
        "T00": [0.0, *steps[1:-1], 0.01],
        "T01": [math.nan] * late + list(moves[0, late:]),
        "T02": list(moves[1, :early]),
        "T04": list(moves[2]),
        "^NSEI": [math.nan if s in holes else step for s, step in enumerate(moves[3])],
    }
    prices = make_prices(returns, first=sessions(date(2012, 1, 1), date(2014, 12, 31))[offset])
    panel = panel_of(prices, sectors)
    check_by_ticker(panel)
    check_by_day(panel)
