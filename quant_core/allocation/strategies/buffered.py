"""The best of a slow ranking, kept until they are clearly no longer among them."""

import numpy as np
import polars as pl

from quant_core.allocation.config import AllocationConfig
from quant_core.allocation.held import Moment, walked
from quant_core.allocation.strategy import STRATEGIES, DecisionInputs
from quant_core.dense import Flags, Floats, Integers


@STRATEGIES.register("buffered")
def buffered(inputs: DecisionInputs) -> pl.DataFrame:
    """For each traded model the 2 x top_n names of best smoothed rank, sold only far below: `buffered_{model}`.

    Bought is what ranks among the first n = 2 x top_n, where a place is free; sold what ranks below sell_multiple x n.
    Between the two, and without a score, a name is kept. With most_sector no more than that share of the n names is
    bought into one sector, and places left by it go to the next ranks, down to those that are sold. Weights are those
    of `book_weighting` on purchase; a name that drifts further than `drift_band` from them, or above max_position, is
    traded back, nothing else is.

    Source: Novy-Marx and Velikov (2016), A taxonomy of anomalies and their trading costs: a buy/hold spread is the most
    effective of the simple ways to save costs.
    """
    return walked(inputs, "buffered", lambda now: buffered_weights(now, now.held))


def buffered_weights(now: Moment, held: Floats) -> Floats | None:
    """(N,) weights wanted, NaN for a name that is kept as it is held; None without any score.

    Args:
        held: (N,) drifted weights.
    """
    config, names = now.inputs.config, 2 * now.inputs.config.top_n
    if np.isnan(now.score).all():
        return None
    rank = descending_rank(np.where(now.eligible, now.score, np.nan))
    most = now.rules.sell_multiple * names
    unscored = now.eligible & np.isnan(now.score)
    kept = (held > 0.0) & (now.stuck | unscored | (rank <= most))
    free = max(names - int(kept.sum()), 0)
    bought = np.zeros(len(held), dtype=np.bool_)
    candidates = np.flatnonzero((rank <= (names if config.most_sector is None else most)) & ~kept)
    ordered = candidates[np.argsort(rank[candidates], kind="stable")]
    bought[_within_sectors(now, ordered, kept, names)[:free]] = True
    wished = wished_weights(now, kept | bought, np.where(np.isnan(rank), most, rank), most)
    return traded_weights(held, wished, kept, bought, now.stuck | unscored, config)


def _within_sectors(now: Moment, ordered: Integers, kept: Flags, names: int) -> Integers:
    """Those of the candidates, best first, that their sectors have room for beside the names that are kept."""
    share = now.inputs.config.most_sector
    if share is None:
        return ordered
    sector = now.inputs.sector_of
    places = max(int(share * names + 1e-9), 1) - np.bincount(sector[kept], minlength=sector.max() + 1)
    taken = []
    for name in ordered:
        if places[sector[name]] > 0:
            places[sector[name]] -= 1
            taken.append(name)
    return np.array(taken, dtype=np.int64)


def descending_rank(score: Floats) -> Floats:
    """(N,) 1 for the highest score, equal ones in order; NaN without a score."""
    order = np.argsort(-score, kind="stable")
    rank = np.empty(len(score))
    rank[order] = np.arange(1.0, len(score) + 1.0)
    return np.where(np.isnan(score), np.nan, rank)


def wished_weights(now: Moment, book: Flags, rank: Floats, most: float) -> Floats:
    """(N,) weights of the names of a book by `book_weighting`, summing to 1 before max_position cuts them.

    "equal": 1; "volatility": 1 / standard deviation of the lookback's returns; "conviction": (m + 1 - rank) / m for the
    m ranks that may be held, ranks after m counting as m.
    """
    config, part = now.inputs.config, np.ones(int(book.sum()))
    if config.book_weighting == "volatility":
        returns = now.past(config.lookback_sessions).total_return_1d[:, book]
        spread = np.nan_to_num(returns).std(axis=0)
        part = 1.0 / np.where(spread > 0.0, spread, np.inf)
        part = part if part.any() else np.ones(len(part))
    elif config.book_weighting == "conviction":
        part = np.maximum(most + 1.0 - rank[book], 1.0) / most
    wished = np.zeros(len(book))
    wished[book] = np.minimum(part / part.sum(), config.max_position)
    return wished


def traded_weights(
    held: Floats, wished: Floats, kept: Flags, bought: Flags, frozen: Flags, config: AllocationConfig
) -> Floats:
    """(N,) what to ask for: NaN for kept names near enough to their wish, else the wish, so that it fits beside them.

    Purchases share what the others leave, up to (1 + drift_band) times their wish; none is below min_position.

    Args:
        frozen: (N,) names that are kept whatever they weigh.
    """
    far = np.abs(held - wished) > config.drift_band * wished
    adjusted = kept & ~frozen & (far | (held > config.max_position))
    left = max(1.0 - held[kept & ~adjusted].sum() - wished[adjusted].sum(), 0.0)
    asked = wished[bought].sum()
    factor = min(left / asked, 1.0 + config.drift_band) if asked > 0.0 else 0.0
    new = np.minimum(wished[bought] * factor, config.max_position)
    weights = np.where(adjusted, wished, 0.0)
    weights[bought] = np.where(new >= config.min_position, new, 0.0)
    weights[kept & ~adjusted] = np.nan
    return weights
