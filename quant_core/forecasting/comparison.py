"""Models beside one another over one horizon: who is better by more than luck, how alike they are, and what each adds
to the mean of all (leave one out).

The test of equal accuracy is `measures.diebold_mariano`; here a date's loss is its negative rank IC.
"""

from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import NamedTuple

import dataframely as dy
import numpy as np
import polars as pl

from quant_core import dense
from quant_core.dense import Floats
from quant_core.forecasting.quality import BUG, COMMON_HORIZON, MOMENTUM, momentum_scores
from quant_core.measures.diebold_mariano import diebold_mariano
from quant_core.measures.forward_returns import Growth, growth_of
from quant_core.measures.information_coefficient import rank_ic, ranks
from quant_core.measures.newey_west import newey_west_t
from quant_core.schema import ForecastComparison, ForecastContribution, table_of, validate

#: A forecast without an opinion: its rank IC counts as 0 on every date.
ZERO = "zero"
#: Models whose names begin so are made of the others and are no members of the mean.
ENSEMBLE = "ensemble"


class ComparisonTables(NamedTuple):
    """Every ordered pair of models and baselines, and what each model adds to the mean of all."""

    pairs: pl.DataFrame  # ForecastComparison
    contributions: pl.DataFrame  # ForecastContribution


def forecast_comparison(
    forecasts: Mapping[str, pl.LazyFrame], features: pl.LazyFrame, prices: pl.DataFrame, horizon: int = COMMON_HORIZON
) -> ComparisonTables:
    """Compare every model with every other one, with momentum and with no forecast at all.

    Args:
        forecasts: Forecasts by model.
        features: Features of the same span, for momentum.
        prices: CleanPrices of the same span.
        horizon: sessions from fill to fill that all are judged over.
    """
    growth = growth_of(prices)
    earned = growth.forward_return(horizon)
    tables = {name: table.select("date", "ticker", "score").collect() for name, table in sorted(forecasts.items())}
    models = {name: _panel(table, growth) for name, table in tables.items() if table.height}
    momentum = momentum_scores(features)
    panels = models | ({MOMENTUM: _panel(momentum, growth)} if momentum.height and models else {})
    members = {name: panel for name, panel in models.items() if not name.startswith(ENSEMBLE)}
    return ComparisonTables(_pairs(panels, earned, horizon), _contributions(members, earned, horizon))


def _panel(scores: pl.DataFrame, growth: Growth) -> Floats:
    """(T, N) scores, NaN where there is none."""
    there = pl.col("date").is_in(growth.days.implode()) & pl.col("ticker").is_in(growth.tickers.implode())
    rows = scores.filter(pl.col("score").is_finite() & there)
    return dense.cells(rows, growth.days, growth.tickers, "scores").floats(rows["score"])


def _pairs(panels: Mapping[str, Floats], earned: Floats, horizon: int) -> pl.DataFrame:
    daily = {name: rank_ic(panel, earned) for name, panel in panels.items()}
    if daily:
        daily[ZERO] = np.where(np.isnan(np.stack(list(daily.values()))).all(axis=0), np.nan, 0.0)
    rows = []
    for one, other in permutations(sorted(daily), 2):
        both = ~(np.isnan(daily[one]) | np.isnan(daily[other]))
        a, b = daily[one][both], daily[other][both]
        test = diebold_mariano(-b, -a, horizon)  # losses are negative rank ICs
        alike = _correlation(a, b)
        shared = None if ZERO in (one, other) else _mean(rank_ic(panels[one], panels[other]))
        rows.append((one, other, horizon, test.n, test.mean, test.t, test.p, alike, shared))
    return _table(rows, ForecastComparison, "forecast comparison")


def _contributions(members: Mapping[str, Floats], earned: Floats, horizon: int) -> pl.DataFrame:
    """Of each member the rank IC of the mean of all, and of the mean of the others.

    Summed ranks order the names as the mean of centred ranks does, and are of whole halves, so that ties stay ties.
    """
    if not members:
        return ForecastContribution.create_empty()
    among = np.asarray(np.isfinite(np.stack(list(members.values()))).all(axis=0))
    ranked = {name: np.where(among, ranks(panel, among), np.nan) for name, panel in members.items()}
    total = np.sum(list(ranked.values()), axis=0)
    whole, rows = rank_ic(total, earned), []
    for name, own in ranked.items():
        without = rank_ic(total - own, earned)  # no IC anywhere where there are no others: all are equal
        both = ~(np.isnan(whole) | np.isnan(without))
        known = both if len(ranked) > 1 else ~np.isnan(whole)
        added, t = newey_west_t((whole - without)[both], horizon_sessions=horizon)
        rows.append((name, horizon, int(known.sum()), _mean(whole[known]), _mean(without[both]), added, t))
    return _table(rows, ForecastContribution, "forecast contributions")


def _correlation(a: Floats, b: Floats) -> float | None:
    if len(a) < 2 or np.ptp(a) == 0.0 or np.ptp(b) == 0.0:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def _mean(values: Floats) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def _table(rows: Sequence[tuple[object, ...]], contract: type[dy.Schema], where: str) -> pl.DataFrame:
    return validate(table_of(contract, rows), contract, where, BUG)
