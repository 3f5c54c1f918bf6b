"""Episodes step by step, compiled: action to weights, the account to the next decision, reward and observation.

One call steps all episodes, one after another, with arrays made beforehand. The accounting is `trading.side_by_side`'s,
which is the day loop's. What is held together here is made in `episodes`.
"""

from typing import Any, NamedTuple

import numba
import numpy as np
from numba import types
from numba.experimental import structref
from numpy.typing import NDArray

from quant_core.allocation.learning.actions import weights_for
from quant_core.dense import Flags, Floats, Integers
from quant_core.trading.day_loop import UNCOUNTED
from quant_core.trading.side_by_side import decide, open_at, through, weights_of

Inputs = NDArray[np.float32]

SESSIONS_A_YEAR = 252.0
OPENING_TURNOVER = 1.0  # one-way, from cash to a full book; beside the budget
RUIN = 0.01  # of the capital: an account below it is over
LEAST_GROWTH = 1e-6  # of a step, so that the logarithm of a total loss is a number
BAD_ACTION, BAD_REWARD = 1, 2  # what stops a step

#: Columns of `State.figures`.
(
    EQUITY, PEAK, DRAWDOWN, TURNOVER, SESSIONS, STEP_RETURN, STEP_EXCESS, STEP_COST, STEP_TURNOVER, REWARD,
) = range(10)  # fmt: skip
N_FIGURES = 10
#: Columns of `State.place`; ENDS says why an episode is over.
DECISION, LEFT, ENDS = range(3)
RUNS, TRUNCATED, TERMINATED = range(3)


class Script(NamedTuple):
    """What a stage gives, by decision."""

    rows: Integers  # (D,)
    due: Integers  # (D,)
    asset: Inputs  # (D, N, F)
    market: Inputs  # (D, M)
    buyable: Flags  # (D, N)
    closed: Flags  # (D, N)
    book: Floats  # (D, N)


class Terms(NamedTuple):
    """Numbers of `EnvConfig`, and of the stage."""

    n_sessions: int
    n_made: int
    capital: float
    budget: float  # one-way turnover a session
    lambda_drawdown: float
    lambda_turnover: float
    reward_scale: float


class State(NamedTuple):
    """E episodes, changed in place."""

    place: Integers  # (E, 3)
    figures: Floats  # (E, N_FIGURES)
    memory: Floats  # (E, MEMORY) of the reward
    held: Floats  # (E, N) drifted weights
    wanted: Floats  # (E, N) weights wanted by the newest action, NaN keeps
    fill: Integers  # (E,) session in which they fall due


class Seen(NamedTuple):
    """The observations, float32."""

    assets: Inputs  # (E, N, F + 2)
    market: Inputs  # (E, M + 3)
    mask: Inputs  # (E, N)


@structref.register
class EngineType(types.StructRef):
    """Everything that a step needs under one name: passing it costs a microsecond, its arrays one by one ten."""

    def preprocess_fields(self, fields: Any) -> Any:
        return tuple((name, types.unliteral(kind)) for name, kind in fields)


class Engine(structref.StructRefProxy):  # type: ignore[misc]
    """What `step_all` and `begin` work on."""

    def __new__(cls, *parts: Any) -> Any:
        return structref.StructRefProxy.__new__(cls, *parts)


FIELDS = [
    "panel", "charges", "rules", "accounts", "waiting", "script", "terms", "limits", "scratch", "state", "parameters",
    "kernel",
]  # fmt: skip
structref.define_boxing(EngineType, Engine)
structref.define_constructor(Engine, EngineType, FIELDS)
_uncounted = numba.njit(cache=True, forceinline=True, **UNCOUNTED)


@numba.njit(cache=True)
def engine_of(  # type: ignore[no-untyped-def]
    panel, charges, rules, accounts, waiting, script, terms, limits, scratch, state, parameters, kernel
):
    return Engine(panel, charges, rules, accounts, waiting, script, terms, limits, scratch, state, parameters, kernel)


@numba.njit(cache=True, error_model="numpy")
def begin(engine, seen, e, decision, length):  # type: ignore[no-untyped-def]
    """Episode `e` opens an account at the close of a decision, and lasts `length` decisions; `seen` is written."""
    script, state, terms = engine.script, engine.state, engine.terms
    open_at(engine.accounts, engine.waiting, e, script.rows[decision], terms.capital)
    state.place[e, DECISION], state.place[e, LEFT], state.place[e, ENDS] = decision, length, RUNS
    state.figures[e], state.memory[e], state.held[e], state.wanted[e] = 0.0, 0.0, 0.0, 0.0
    state.figures[e, EQUITY], state.figures[e, PEAK] = terms.capital, terms.capital
    state.fill[e] = -1
    _observe(e, decision, script, terms, 1.0, state, seen)


@numba.njit(cache=True, error_model="numpy")
def wanted_by(engine, actions):  # type: ignore[no-untyped-def]
    """Write what actions (E, A) want at the decisions that the episodes stand at; nothing is stepped.

    Returns:
        0, or 1 + the episode whose action is not a number.
    """
    script, state, limits, scratch = engine.script, engine.state, engine.limits, engine.scratch
    bad = _first_nan(actions)
    if bad >= 0:
        return 1 + bad
    for e in range(actions.shape[0]):
        if not _wish(e, actions[e], script, limits, scratch, state):
            state.wanted[e] = np.nan
    return 0


@numba.njit(cache=True, error_model="numpy")
def step_all(engine, seen, actions, by_action, e):  # type: ignore[no-untyped-def]
    """Take every episode from its decision to the next one.

    Args:
        seen: written: the observations.
        actions: (E, A).
        by_action: False decides what `state.wanted` says already instead, and does not read the actions.
        e: written: (1,) the episode that stopped it.
    Returns:
        0, BAD_ACTION before anything was stepped, or BAD_REWARD.
    """
    panel, charges, rules, accounts, waiting = (
        engine.panel, engine.charges, engine.rules, engine.accounts, engine.waiting,
    )  # fmt: skip
    script, terms, limits, scratch = engine.script, engine.terms, engine.limits, engine.scratch
    state, parameters, kernel = engine.state, engine.parameters, engine.kernel
    e[0] = _first_nan(actions) if by_action else -1
    if e[0] >= 0:
        return BAD_ACTION
    for k in range(actions.shape[0]):
        decided = _wish(k, actions[k], script, limits, scratch, state) if by_action else _says(state.wanted[k])
        _decide(k, decided, script, waiting, state)
        cash, excess_simple, excess_log = _travel(k, panel, charges, rules, accounts, waiting, script, terms, state)
        reward = kernel(excess_simple, excess_log, state.memory[k].ctypes, parameters.ctypes)
        if not _settle(k, reward, script, terms, state):
            e[0] = k
            return BAD_REWARD
        _observe(k, state.place[k, DECISION], script, terms, cash, state, seen)
    return 0


@_uncounted
def _first_nan(actions):  # type: ignore[no-untyped-def]
    for e in range(actions.shape[0]):
        for i in range(actions.shape[1]):
            if not np.isfinite(actions[e, i]):
                return e
    return -1


@_uncounted
def _wish(e, action, script, limits, scratch, state):  # type: ignore[no-untyped-def]
    """Write what an action wants at the decision that the episode stands at; whether anything is decided."""
    d = state.place[e, DECISION]
    return weights_for(
        action, state.held[e], script.buyable[d], script.closed[d], script.book[d], limits, scratch, state.wanted[e]
    )


@_uncounted
def _says(wanted):  # type: ignore[no-untyped-def]
    """Whether any name is not merely kept."""
    known = False
    for i in range(wanted.size):
        known |= wanted[i] == wanted[i]
    return known


@_uncounted
def _decide(e, decided, script, waiting, state):  # type: ignore[no-untyped-def]
    """What is wanted waits for its fill."""
    d, wanted = state.place[e, DECISION], state.wanted[e]
    state.fill[e] = script.due[d] if decided else -1
    if decided:
        decide(waiting, e, script.rows[d], script.due[d], wanted)
    else:
        wanted[:] = np.nan


@_uncounted
def _travel(e, panel, charges, rules, accounts, waiting, script, terms, state):  # type: ignore[no-untyped-def]
    """The sessions up to the next decision, or to the last one; what was earned in them goes to the figures.

    Returns:
        the cash share at the end, and growth beyond cash: simple, logarithmic.
    """
    d, own = state.place[e, DECISION], state.figures[e]
    first = script.rows[d] + 1
    last = script.rows[d + 1] + 1 if d + 1 < script.rows.size else terms.n_sessions
    equity, cash, cost, turnover, cash_growth, peak = through(
        first, last, panel, charges, rules, accounts, waiting, e, own[PEAK]
    )
    growth = equity / own[EQUITY]
    own[EQUITY], own[PEAK] = equity, peak
    own[STEP_RETURN], own[STEP_EXCESS] = growth - 1.0, growth - cash_growth
    own[STEP_COST], own[STEP_TURNOVER], own[REWARD] = cost, turnover, 0.0
    own[SESSIONS] += last - first
    excess_log = np.log(max(growth / cash_growth, LEAST_GROWTH))
    alive = equity > 0.0
    weights_of(accounts, e, equity if alive else 1.0, state.held[e])
    return cash / equity if alive else 1.0, own[STEP_EXCESS], excess_log


@_uncounted
def _settle(e, reward, script, terms, state):  # type: ignore[no-untyped-def]
    """Penalties, and where the episode stands; False where the reward is no number."""
    own, place = state.figures[e], state.place[e]
    before, allowed = own[TURNOVER], _allowance(own[SESSIONS], terms)
    own[TURNOVER] += own[STEP_TURNOVER]
    beyond = max(own[TURNOVER] - max(allowed, before), 0.0)
    drawdown = 1.0 - own[EQUITY] / own[PEAK]
    deeper = max(drawdown - own[DRAWDOWN], 0.0)
    own[DRAWDOWN] = drawdown
    own[REWARD] = terms.reward_scale * reward - terms.lambda_drawdown * deeper - terms.lambda_turnover * beyond
    place[LEFT] -= 1
    place[DECISION] = min(place[DECISION] + 1, script.rows.size - 1)
    if own[EQUITY] <= RUIN * terms.capital:
        place[ENDS] = TERMINATED
    elif place[LEFT] <= 0:
        place[ENDS] = TRUNCATED
    return np.isfinite(own[REWARD])


@_uncounted
def _allowance(sessions, terms):  # type: ignore[no-untyped-def]
    """One-way turnover that an episode may have spent by now."""
    return OPENING_TURNOVER + terms.budget * sessions


@_uncounted
def _observe(e, d, script, terms, cash, state, seen):  # type: ignore[no-untyped-def]
    """What is known at decision `d`: the stage's inputs, then the account's own columns."""
    assets, market, mask = seen.assets[e], seen.market[e], seen.mask[e]
    held, own, n_columns, n_market = state.held[e], state.figures[e], script.asset.shape[2], script.market.shape[1]
    for i in range(held.size):
        may_buy = script.buyable[d, i]
        for f in range(n_columns):
            assets[i, f] = script.asset[d, i, f]
        assets[i, n_columns], assets[i, n_columns + 1] = held[i], may_buy
        mask[i] = may_buy or held[i] > 0.0
    for f in range(n_market):
        market[f] = script.market[d, f]
    market[n_market], market[n_market + 1] = cash, own[DRAWDOWN]
    market[n_market + 2] = own[TURNOVER] / _allowance(own[SESSIONS], terms)
