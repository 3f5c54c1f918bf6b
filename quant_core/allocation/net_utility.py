"""The portfolio of most expected return, less its risk and less what it costs to get there from the one that is held.

A convex programme with linear costs, solved by an interior-point method (Clarabel); where the expected returns and the
covariance come from is no business of this file.

Source: Boyd et al. (2017), Multi-period trading via convex optimization, section 4: single-period optimisation with
transaction costs and holding constraints. Solver: Goulart and Chen (2024), Clarabel.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from quant_core.allocation.cone import REMEDY
from quant_core.dense import Floats
from quant_core.errors import DataError

#: A change smaller than this is the solver's way to write 0: a thousand rupees in ten million.
SMALLEST_TRADE = 1e-4


@dataclass(frozen=True, eq=False)
class Problem:
    """What is to be weighed against what, for N names.

    Args:
        expected: (N,) returns a year.
        covariance: (N, N) a year, positive definite.
        held: (N,) weights now.
        cost: of trading 1 of the wealth, charged against a year's return: the rate over the holding period in years.
        risk_aversion: g.
        cap: (N,) largest weights.
        total: sum of the weights.
        hedged: (N,) covariance with a benchmark that risk is relative to; None for risk as such.
        most_turnover: largest one-way turnover, half the sum of the changes; None for no limit.
        beta, least_beta, most_beta: (N,) betas and the bounds of their weighted mean; None for no bound.
        sector, most_sector: (N,) number of each name's sector and (S,) largest weight of each; None for no bound.
        joint, most_tracking_error: (N + 1, N + 1) covariance a year with the benchmark last, and the largest standard
            deviation of the difference to it; None for no bound.
    """

    expected: Floats
    covariance: Floats
    held: Floats
    cost: float
    risk_aversion: float
    cap: Floats
    total: float = 1.0
    hedged: Floats | None = None
    most_turnover: float | None = None
    beta: Floats | None = None
    least_beta: float | None = None
    most_beta: float | None = None
    sector: NDArray[np.int64] | None = None
    most_sector: Floats | None = None
    joint: Floats | None = None
    most_tracking_error: float | None = None


#: The setting of each bound, and what lifts it.
LIFTED: Mapping[str, Mapping[str, None]] = {
    "max_turnover": {"most_turnover": None},
    "least_beta": {"least_beta": None},
    "most_beta": {"most_beta": None},
    "most_sector": {"most_sector": None},
    "most_tracking_error": {"most_tracking_error": None},
}


def most_net_utility(problem: Problem) -> Floats:
    """(N,) weights w with the most a' w - g / 2 (w' C w - 2 w' h) - c sum |w - held|.

    Under 0 <= w <= cap, sum w = total, and the bounds that there are:

        sum |w - held| / 2 <= most_turnover,  least_beta <= beta' w <= most_beta,  sum of a sector's w <= most_sector,
        |L' (w, -1)| <= most_tracking_error  with joint = L L'.

    Raises:
        DataError: no weights keep all the bounds, or the solver found none; names the bound without which it does.
    """
    found, status = _solved(problem)
    if found is None:
        to_blame = _to_blame(problem)
        bounds = f"all the bounds; {' or '.join(to_blame)} rules them out: widen it" if to_blame else "all the bounds"
        raise DataError(
            f"mean-variance: no weights of {len(problem.expected)} names keep {bounds} ({status}), or {REMEDY}"
        )
    return np.clip(found, 0.0, problem.cap)


def _to_blame(problem: Problem) -> list[str]:
    """Settings of the bounds each of which, if it were lifted alone, would leave a solution."""
    present = [name for name, change in LIFTED.items() if any(getattr(problem, key) is not None for key in change)]
    return [name for name in present if _solved(replace(problem, **LIFTED[name]))[0] is not None]  # type: ignore[arg-type]


def _solved(problem: Problem) -> tuple[Floats | None, str]:
    """The weights, None where there are none, and what the solver says."""
    import clarabel
    from scipy import sparse

    p, n = problem, len(problem.expected)
    slope = -p.expected if p.hedged is None else -p.expected - p.risk_aversion * p.hedged
    matrix = sparse.block_diag([sparse.csc_matrix(np.triu(p.risk_aversion * p.covariance)), sparse.csc_matrix((n, n))])
    rows, limits = _bounds(p)
    cones = [clarabel.ZeroConeT(1), clarabel.NonnegativeConeT(len(limits) - 1)]
    if p.joint is not None and p.most_tracking_error is not None:
        root = np.linalg.cholesky(p.joint).T
        ball = np.vstack([np.zeros(2 * n), np.hstack([-root[:, :n], np.zeros((n + 1, n))])])
        rows, limits = np.vstack([rows, ball]), np.concatenate([limits, [p.most_tracking_error], -root[:, n]])
        cones.append(clarabel.SecondOrderConeT(n + 2))
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-11
    solver = clarabel.DefaultSolver(
        sparse.csc_matrix(matrix),
        np.append(slope, np.full(n, p.cost)),
        sparse.csc_matrix(rows),
        limits,
        cones,
        settings,
    )
    solved = solver.solve()
    is_solved = str(solved.status) in ("Solved", "AlmostSolved")
    return (np.array(solved.x[:n]) if is_solved else None), str(solved.status)


def _bounds(p: Problem) -> tuple[Floats, Floats]:
    """Rows A and limits b over (w, t), t >= |w - held|: A x = b in the first row, A x <= b in the others."""
    n = len(p.expected)
    one, none = np.eye(n), np.zeros((n, n))
    rows = [
        np.append(np.ones(n), np.zeros(n))[None],
        np.hstack([one, -one]), np.hstack([-one, -one]), np.hstack([one, none]), np.hstack([-one, none]),
    ]  # fmt: skip
    limits = [np.array([p.total]), p.held, -p.held, p.cap, np.zeros(n)]
    if p.most_turnover is not None:
        rows.append(np.append(np.zeros(n), np.full(n, 0.5))[None])
        limits.append(np.array([p.most_turnover]))
    for sign, bound in ((1.0, p.most_beta), (-1.0, p.least_beta)):
        if p.beta is not None and bound is not None:
            rows.append(np.append(sign * p.beta, np.zeros(n))[None])
            limits.append(np.array([sign * bound]))
    if p.sector is not None and p.most_sector is not None:
        own = (p.sector == np.arange(len(p.most_sector))[:, None]).astype(np.float64)
        rows.append(np.hstack([own, np.zeros(own.shape)]))
        limits.append(p.most_sector)
    return np.vstack(rows), np.concatenate(limits)
