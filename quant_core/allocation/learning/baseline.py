"""What the market gave to everybody, taken out of rewards while an agent trains.

Most of a reward's noise is the market's return, which no choice of names changes. A reward from which a multiple of
something that no action influences is subtracted has the same best policy, and a policy gradient the same expectation
with a smaller variance (a control variate):

    reward - beta x (log growth of equal weight over the same sessions),   beta = cov(reward, growth) / var(growth)

Source: Greensmith, Bartlett and Baxter (2004), Variance reduction techniques for gradient estimates in reinforcement
learning; Mao et al. (2019), Variance reduction for RL in input-driven environments, on baselines that look at inputs.
"""

import numpy as np

from quant_core.allocation.learning.stage import Stage
from quant_core.dense import Floats


def equal_weight_growth(stage: Stage) -> Floats:
    """(D,) log growth of equal weight in the eligible names, gross, from each decision's close to the next one's; the
    last one's to the end."""
    overnight, intraday = (
        np.nan_to_num(part) for part in (stage.market.overnight_return, stage.market.intraday_return)
    )
    growth = (1.0 + overnight) * (1.0 + intraday)
    ends = np.append(stage.decisions[1:], len(stage.sessions) - 1)
    found = np.zeros(len(ends))
    for place, (row, end) in enumerate(zip(stage.decisions, ends, strict=True)):
        names = stage.eligible[place]
        if end > row and names.any():
            found[place] = np.log(growth[row + 1 : end + 1, names].prod(axis=0).mean())
    return found


class Share:
    """The running multiple of the market's growth in rewards: beta of a regression over all steps so far."""

    def __init__(self) -> None:
        self.moments = np.zeros(5)  # count, means of growth and reward, sums of squared and crossed deviations

    def learn(self, growth: Floats, reward: Floats) -> None:
        """Add E steps."""
        count, mean, other, square, cross = self.moments
        n, m, o = len(growth), growth.mean(), reward.mean()
        dm, do, total = m - mean, o - other, count + len(growth)
        weight = count * n / total
        self.moments = np.array([
            total,
            mean + dm * n / total,
            other + do * n / total,
            square + ((growth - m) ** 2).sum() + dm * dm * weight,
            cross + ((growth - m) * (reward - o)).sum() + dm * do * weight,
        ])  # fmt: skip

    @property
    def beta(self) -> float:
        """0 before the growth has varied."""
        return float(self.moments[4] / self.moments[3]) if self.moments[3] > 0.0 else 0.0
