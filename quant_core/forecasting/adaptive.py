"""Intervals that widen after misses and narrow after hits, over a series of forecasts out of sample.

Dates of one kind (a market regime) may have a level of their own, moved by dates of that kind only.

Sources: Gibbs and Candes, Adaptive Conformal Inference Under Distribution Shift, NeurIPS 2021, eq. 2; Vovk, Conditional
Validity of Inductive Conformal Predictors, ACML 2012 (Mondrian: one level a group).
"""

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import polars as pl

from quant_core.dense import Floats
from quant_core.errors import DataError
from quant_core.measures.quantiles import cdf_at, quantile_at
from quant_core.schema import QUANTILE_COLUMNS, QUANTILE_LEVELS

#: Step of the paper's daily examples.
RATE = 0.005
#: Below this share outside, and above 1 less it, an interval is as wide, or as narrow, as it gets.
SMALLEST_SHARE = 1e-3
#: Dates of a group whose labels must have ended before it has a level of its own: a month of sessions.
FEWEST_DATES = 21


def adaptive_intervals(
    forecasts: pl.DataFrame,
    outcomes: pl.DataFrame,
    level: float = 0.9,
    rate: float = RATE,
    groups: Mapping[date, str] | None = None,
    fewest_dates: int = FEWEST_DATES,
) -> pl.DataFrame:
    """The interval of each forecast's own distribution that holds 1 - alpha_t, alpha_t following what was missed.

    alpha_{t+1} = alpha_t + rate (1 - level - m), m the share of a date's names outside their interval. It counts from
    the day on which the date's labels end, that day itself included: forecasts are made at the close, exits before it.

    With groups a date's alpha is that of its group: once `fewest_dates` of the group's dates have ended, it begins at
    the alpha that would have held `level` of their returns, and moves as above by what it would have missed of each
    later one. Until then, and for a date without a group, the pooled alpha of all dates stands in.

    Args:
        forecasts: rows (date, ticker) of one model with QUANTILE_COLUMNS; rows without all of them are left out.
        outcomes: rows (date, ticker, label_end_date, forward_return), null where it is not known.
        level: share that the intervals shall hold.
        rate: how fast alpha moves.
        groups: of a date, as known at its close; a date without one has the pooled interval. None for no groups.
        fewest_dates: of a group, that must have ended for its own alpha to be used.
    Returns:
        rows (date, ticker, interval_low, interval_high, miss_share), the last one the alpha that was used,
        sorted by date and ticker.
    Raises:
        DataError: level outside (0, 1) or a rate below 0.
    """
    if not (0.0 < level < 1.0 and rate >= 0.0):
        raise DataError(f"adaptive_intervals: level {level}, rate {rate}; wanted a level inside (0, 1), a rate from 0.")
    rows = forecasts.select("date", "ticker", *QUANTILE_COLUMNS).drop_nulls()
    known = outcomes.select("date", "ticker", "label_end_date", "forward_return")
    rows = rows.join(known, on=["date", "ticker"], how="left").sort("date", "ticker")
    quantiles = rows.select(QUANTILE_COLUMNS).to_numpy()
    reached, days = _reached(quantiles, rows["forward_return"].fill_null(np.nan).to_numpy()), _days(rows)
    of_days = [None if groups is None else groups.get(day) for day, *_ in days]
    of_dates = np.array(_alphas(days, reached, of_days, level, rate, fewest_dates))
    names_a_day = np.array([end - begin for *_, begin, end in days], dtype=np.int64)
    alphas = np.repeat(of_dates, names_a_day)  # (R,)
    low, high = _interval(quantiles, alphas)
    return rows.select("date", "ticker").with_columns(
        interval_low=pl.Series(low), interval_high=pl.Series(high), miss_share=pl.Series(alphas)
    )


@dataclass
class _Running:
    """The alpha of one group; None until enough of its dates have ended."""

    level: float
    rate: float
    fewest_dates: int
    alpha: float | None = None
    seen: list[Floats] = field(default_factory=list)

    def follow(self, reached: Floats) -> None:
        """Learn from a date whose labels have ended."""
        if self.alpha is None:
            self.seen.append(reached)
            if len(self.seen) >= self.fewest_dates:
                self.alpha = float(np.quantile(np.concatenate(self.seen), 1.0 - self.level))
        else:
            self.alpha += self.rate * (1.0 - self.level - _missed(reached, self.alpha))


def _alphas(
    days: Sequence[tuple[date, date | None, int, int]],
    reached: Floats,
    groups: Sequence[str | None],
    level: float,
    rate: float,
    fewest_dates: int,
) -> list[float]:
    """The alpha of each date, from what had ended by then."""
    of_groups = defaultdict[str, _Running](lambda: _Running(level, rate, fewest_dates))
    alpha, found = 1.0 - level, list[float]()
    waiting = deque[tuple[date, float, str | None, Floats]]()
    for (day, ends, begin, end), group in zip(days, groups, strict=True):
        while waiting and waiting[0][0] <= day:
            _, missed, ended_group, ended = waiting.popleft()
            alpha += rate * (1.0 - level - missed)
            if ended_group is not None:
                of_groups[ended_group].follow(ended)
        own = None if group is None else of_groups[group].alpha
        found.append(alpha if own is None else own)
        known = reached[begin:end][~np.isnan(reached[begin:end])]
        if ends is not None and len(known):
            waiting.append((ends, _missed(known, alpha), group, known))
    return found


def _reached(quantiles: Floats, earned: Floats) -> Floats:
    """(R,) the largest alpha whose interval holds the outcome: 2 min(F, 1 - F) at it."""
    pit = cdf_at(quantiles, QUANTILE_LEVELS, earned)
    return 2.0 * np.minimum(pit, 1.0 - pit)


def _missed(reached: Floats, alpha: float) -> float:
    """Share of outcomes outside the interval of alpha."""
    return int(np.count_nonzero(reached < min(max(alpha, SMALLEST_SHARE), 1.0 - SMALLEST_SHARE))) / len(reached)


def _interval(quantiles: Floats, alphas: Floats) -> tuple[Floats, Floats]:
    """(R,) low and high end of each row's interval, its alpha being the probability outside of it."""
    outside = np.clip(alphas, SMALLEST_SHARE, 1.0 - SMALLEST_SHARE)
    low, high = (quantile_at(quantiles, QUANTILE_LEVELS, p) for p in (outside / 2, 1.0 - outside / 2))
    return low, high


def _days(rows: pl.DataFrame) -> list[tuple[date, date | None, int, int]]:
    """Each date, the day on which the last of its labels ends, and where its rows begin and end."""
    by_date = rows.group_by("date", maintain_order=True).agg(pl.col("label_end_date").max(), n=pl.len())
    ends = by_date["n"].cum_sum()
    return list(zip(by_date["date"], by_date["label_end_date"], ends - by_date["n"], ends, strict=True))
