"""Expected return, less risk, less what it costs to change the book."""

import numpy as np
import polars as pl

from quant_core.allocation.estimation import most_traded, names_with_history, sample
from quant_core.allocation.held import Moment, walked
from quant_core.allocation.net_utility import SMALLEST_TRADE, Problem, most_net_utility
from quant_core.allocation.optimise import covariance
from quant_core.allocation.strategy import STRATEGIES, DecisionInputs
from quant_core.calendar import SESSIONS_PER_YEAR
from quant_core.dense import Flags, Floats
from quant_core.errors import DataError

#: Share of the book that must be invested for its turnover to be bounded: an empty one has to be filled.
OPENED = 0.9


@STRATEGIES.register("cost_aware_mean_variance")
def cost_aware_mean_variance(inputs: DecisionInputs) -> pl.DataFrame:
    """For each traded model the book of most net utility: `cost_aware_mean_variance_{model}`.

    Expected returns are the smoothed scores by Grinold's rule (`expected_returns`), risk is Ledoit and Wolf's
    covariance of the lookback; a trade costs trade_cost_bps a side, spread over holding_sessions. Fully invested and
    long only, at most max_position each, most_sector a sector and max_turnover a decision; with is_benchmark_relative
    risk is that of the difference to the price index, most_tracking_error bounds it, with beta bounds the book's beta
    to the index lies between them. What the solver would change by less than 0.01 % of the wealth is kept. Chooses
    from the optimiser_names most traded members and those that are held; a name without history or without a score is
    kept as it is held, and takes room from its sector.

    Source: Grinold and Kahn, Active Portfolio Management (2000), chs. 6 and 14; costs as in Boyd et al. (2017).
    """
    return walked(inputs, "cost_aware_mean_variance", mean_variance_weights)


def expected_returns(score: Floats, volatility: Floats, coefficient: float, horizon_sessions: int) -> Floats:
    """(N,) expected returns a year of standardised scores z: IC x volatility x z x sqrt(252 / horizon).

    A forecast over h sessions is worth IC x (volatility over h sessions) x z, and there are 252 / h of them a year.

    Args:
        score: (N,) smoothed ranks; z has mean 0 and standard deviation 1 over the names.
        volatility: (N,) a year.
    Source: Grinold (1994), Alpha is volatility times IC times score.
    """
    spread = score.std()
    z = (score - score.mean()) / spread if spread > 0.0 else np.zeros(len(score))
    found: Floats = coefficient * volatility * z * np.sqrt(SESSIONS_PER_YEAR / horizon_sessions)
    return found


def mean_variance_weights(now: Moment) -> Floats | None:
    """(N,) weights wanted, NaN for a name that is kept; None without any score."""
    config = now.inputs.config
    past = now.past(config.lookback_sessions)
    judged = names_with_history(past, config.lookback_sessions)
    judged = judged[now.eligible[judged] & ~np.isnan(now.score[judged])]
    names = np.union1d(most_traded(past, judged, config.optimiser_names), judged[now.held[judged] > 0.0])
    if len(names) == 0:
        return None
    kept = (now.held > 0.0) & (now.stuck | now.eligible)
    kept[names] = False
    room = max(1.0 - now.held[kept].sum(), 0.0)
    wanted = np.zeros(len(now.held))
    wanted[kept] = np.nan
    if len(names) * config.max_position <= room:
        wanted[names] = config.max_position
        return wanted
    held = now.held[names]
    found = most_net_utility(_problem(now, past.total_return_1d.shape[0], names, room, kept))
    still = (np.abs(found - held) < SMALLEST_TRADE) & (held > 0.0) & (held <= config.max_position)
    found = np.where(found < SMALLEST_TRADE, 0.0, found)
    wanted[names] = np.where(still, np.nan, found * min(room / found.sum(), 1.0))
    return wanted


def _index_returns(now: Moment, sessions: int) -> Floats:
    """(sessions,) returns of the price index, where the settings need it; else zeros.

    Raises:
        DataError: it is needed, and there is none.
    """
    config = now.inputs.config
    bounded = config.least_beta is not None or config.most_beta is not None
    if not (config.is_benchmark_relative or bounded or config.most_tracking_error is not None):
        return np.zeros(sessions)
    returns = np.nan_to_num(now.index_return[-sessions:])
    if not returns.any():
        raise DataError(
            f"{now.day}: no return of {config.index_ticker} in {sessions} sessions, which a benchmark-relative book, "
            "beta bounds and most_tracking_error need; load the index, or leave them out."
        )
    return returns


def _sector_rooms(now: Moment, names: np.ndarray, kept: Flags) -> tuple[np.ndarray | None, Floats | None]:
    """(n,) sector of each name and (S,) weight that each sector may have beside what is kept; None without a bound."""
    most = now.inputs.config.most_sector
    if most is None:
        return None, None
    sector = now.inputs.sector_of
    taken = np.bincount(sector[kept], now.held[kept], sector.max() + 1)
    return sector[names], np.maximum(most - taken, 0.0)


def _problem(now: Moment, sessions: int, names: np.ndarray, room: float, kept: Flags) -> Problem:
    config = now.inputs.config
    returns = np.column_stack([sample(now.past(sessions), names), _index_returns(now, sessions)])
    joint = covariance(returns[:, returns.any(axis=0)]) * SESSIONS_PER_YEAR  # without an index it is not there
    n, held = len(names), now.held[names]
    risk, hedged = joint[:n, :n], joint[:n, n:].sum(axis=1)
    volatility = np.sqrt(np.diag(risk))
    sector, most_sector = _sector_rooms(now, names, kept)
    return Problem(
        expected=expected_returns(now.score[names], volatility, config.information_coefficient, now.horizon_sessions),
        covariance=risk,
        held=held,
        cost=config.trade_cost_bps * 1e-4 * SESSIONS_PER_YEAR / config.holding_sessions,
        risk_aversion=config.risk_aversion,
        cap=np.full(len(names), config.max_position),
        total=room,
        hedged=hedged if config.is_benchmark_relative else None,
        most_turnover=config.max_turnover if held.sum() >= OPENED * room else None,
        beta=hedged / joint[-1, -1],
        least_beta=config.least_beta,
        most_beta=config.most_beta,
        sector=sector,
        most_sector=most_sector,
        joint=joint if config.most_tracking_error is not None else None,
        most_tracking_error=config.most_tracking_error,
    )
