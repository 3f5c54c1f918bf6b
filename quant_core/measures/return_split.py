"""What each name earned in each session, in parts that add up: market, size, sector, score and what none of them says.

For a name i in session t, with b the benchmark's return, c that of cash, and beta known before the session,

    R_i = c + beta_i (b - c) + k + s_(sector of i) + z_i f + x_i q + e_i

where k is the mean over the members of what beta leaves, s a sector's mean of that less k, f the slope of the rest on
z, the rank of traded value within the sector, q the slope of what that leaves on x, the rank of the score within the
sector that z does not explain. Each is least squares over the session's members; so the parts are those of one
regression on sector dummies, size and score, but for what size and score share, which counts as size. Nothing of a
book is known here.

Sources: Grinold and Kahn, Active Portfolio Management (2000), ch. 17 (attribution by cross-sectional regression);
Brinson, Hood and Beebower (1986), Determinants of portfolio performance (sectors); Clarke, de Silva and Thorley (2002),
Portfolio constraints and the fundamental law of active management, Financial Analysts Journal 58 (transfer
coefficient).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quant_core.calendar import SESSIONS_PER_YEAR
from quant_core.dense import Flags, Floats
from quant_core.measures.information_coefficient import ranks

#: Sessions that a beta or a volatility looks back on, and with how many it begins.
LOOKBACK, FEWEST = SESSIONS_PER_YEAR, 63
FEWEST_NAMES = 5  # that a session's correlation is taken over


@dataclass(frozen=True, eq=False)
class ReturnSplit:
    """Parts of (T, N) returns; every exposure is known at the close before the session.

    Args:
        beta: (T, N).
        common: (T,) k.
        sector: (T, N) s of each name's sector.
        size, size_return: (T, N) z and (T,) f.
        rest: (T, N) what these leave; NaN for no name. A name that is no member has no z and no x.
        member: (T, N) names that the session's parts were estimated on.
        groups: (N,) sector of each name by number.
    """

    beta: Floats
    common: Floats
    sector: Floats
    size: Floats
    size_return: Floats
    rest: Floats
    member: Flags
    groups: NDArray[np.int64]

    def by_score(self, score: Floats) -> tuple[Floats, Floats]:
        """(T, N) x and (T,) q of a score (T, N) known at the close before; NaN for none."""
        scored = self.member & ~np.isnan(score)
        n = np.maximum(scored.sum(axis=1, keepdims=True), 1)
        rank = np.where(scored, (ranks(score, scored) - 0.5) / n - 0.5, 0.0)
        x = within_groups(rank, scored, self.groups)
        x = np.where(scored, x - self.size * _slope(self.size, x)[:, None], 0.0)
        return x, _slope(x, self.rest)


def split_returns(
    returns: Floats, benchmark: Floats, cash: Floats, member: Flags, groups: NDArray[np.int64], traded: Floats
) -> ReturnSplit:
    """The parts that do not depend on a score.

    Args:
        returns: (T, N) simple total returns; 0 where there is none.
        benchmark, cash: (T,) returns of the same sessions.
        member: (T, N) names of the universe at the close before that have a return in the session.
        groups: (N,) sector of each name, from 0.
        traded: (T, N) value by which names are ranked for size, known at the close before; NaN for none.
    """
    over = (benchmark - cash)[:, None]
    beta = trailing_beta(returns - cash[:, None], over[:, 0], member)
    left = returns - cash[:, None] - beta * over
    common = _mean(left, member)
    rest = left - common[:, None]
    means = group_means(rest, member, groups)
    rest = rest - means
    ranked = member & ~np.isnan(traded)
    n = np.maximum(ranked.sum(axis=1, keepdims=True), 1)
    size = within_groups(np.where(ranked, (ranks(traded, ranked) - 0.5) / n - 0.5, 0.0), ranked, groups)
    slope = _slope(size, rest)
    return ReturnSplit(beta, common, means, size, slope, rest - size * slope[:, None], member, groups)


def trailing_beta(excess: Floats, over: Floats, known: Flags) -> Floats:
    """(T, N) slope of (T, N) excess returns on the benchmark's (T,) over the 252 sessions before; 1 for fewer than 63.

    Args:
        known: (T, N) returns that count.
    """
    y = np.where(known, over[:, None], 0.0)
    x = np.where(known, excess, 0.0)
    n, sx, sy, sxy, syy = (_before(part) for part in (known.astype(np.float64), x, y, x * y, y * y))
    count = np.maximum(n, 1.0)
    variance = syy - sy**2 / count
    enough = (n >= FEWEST) & (variance > 1e-12)
    beta: Floats = np.where(enough, (sxy - sx * sy / count) / np.where(enough, variance, 1.0), 1.0)
    return beta


def trailing_volatility(returns: Floats, known: Flags) -> Floats:
    """(T, N) standard deviation of the returns of the 252 sessions before; NaN for fewer than 63."""
    x = np.where(known, returns, 0.0)
    n, sx, sxx = (_before(part) for part in (known.astype(np.float64), x, x * x))
    count = np.maximum(n, 1.0)
    spread = np.sqrt(np.maximum(sxx / count - (sx / count) ** 2, 0.0))
    return np.where(n >= FEWEST, spread, np.nan)


def transfer_coefficients(weights: Floats, score: Floats, volatility: Floats, member: Flags) -> Floats:
    """(T,) correlation over the scored members of active weight x volatility with the rank of the score.

    Active is over equal weights of the scored members, as the index's own are not known; with expected returns of
    IC x volatility x score (Grinold), volatility x weight and score are what Clarke, de Silva and Thorley correlate.
    A name without a volatility counts with the mean one.

    Returns:
        NaN for fewer than FEWEST_NAMES names, and where either side does not vary.
    """
    known = member & ~np.isnan(score)
    n = known.sum(axis=1, keepdims=True)
    mean = np.nanmean(volatility) if not np.isnan(volatility).all() else 1.0
    active = (weights - 1.0 / np.maximum(n, 1)) * np.where(np.isnan(volatility), mean, volatility)
    a, z = (_centred(part, known) for part in (active, ranks(score, known)))
    spread = np.sqrt((a**2).sum(axis=1) * (z**2).sum(axis=1))
    sound = (n[:, 0] >= FEWEST_NAMES) & (spread > 1e-12)
    return np.where(sound, (a * z).sum(axis=1) / np.where(sound, spread, 1.0), np.nan)


def group_means(values: Floats, member: Flags, groups: NDArray[np.int64]) -> Floats:
    """(T, N) mean over the members of each name's group; 0 for a group without any."""
    found = np.zeros(values.shape)
    for group in np.unique(groups):
        own = groups == group
        found[:, own] = _mean(values[:, own], member[:, own])[:, None]
    return found


def within_groups(values: Floats, member: Flags, groups: NDArray[np.int64]) -> Floats:
    """(T, N) values less their group's mean over the members; 0 for the others."""
    return np.where(member, values - group_means(values, member, groups), 0.0)


def _slope(x: Floats, y: Floats) -> Floats:
    """(T,) x' y / x' x of each row; 0 where x does not vary."""
    square = (x * x).sum(axis=1)
    return np.where(square > 1e-12, (x * y).sum(axis=1) / np.where(square > 1e-12, square, 1.0), 0.0)


def _mean(values: Floats, member: Flags) -> Floats:
    found: Floats = np.where(member, values, 0.0).sum(axis=1) / np.maximum(member.sum(axis=1), 1)
    return found


def _centred(values: Floats, known: Flags) -> Floats:
    return np.where(known, values - _mean(values, known)[:, None], 0.0)


def _before(values: Floats) -> Floats:
    """(T, N) sums over the LOOKBACK rows before each."""
    total = np.vstack([np.zeros(values.shape[1]), np.cumsum(values, axis=0)])
    row = np.arange(len(values))
    found: Floats = total[row] - total[np.maximum(row - LOOKBACK, 0)]
    return found
