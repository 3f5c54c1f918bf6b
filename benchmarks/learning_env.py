"""How fast the learning environment is, one episode and many side by side, beside the usual way to write one.

    python benchmarks/learning_env.py

The case is 50 names with 20 columns each and 5 of the market, decided every session on random actions, 20 bps a side,
stepped as a user steps it: observations as dicts of new arrays, infos, resets where an episode ends. "rows" is a small
environment in the style of public ones, written for this comparison: a table of rows by date and ticker, one day's rows
cut out of it a step, a softmax, a portfolio return less a cost rate on turnover; no ledger, no fills, no drift. Its
table is a polars one here; pandas is not a library of the lab.

FinRL 0.3.7's portfolio environment took 915 steps a second with 50 names on a machine like this one; it is recorded
here, not run, as it cannot be installed beside the lab's libraries. Ratios are of CPU time of one thread, which other
work on the machine stretches least.
"""

import os
import platform
import time
from collections.abc import Callable
from typing import NamedTuple

import gymnasium
import numba
import numpy as np
import polars as pl

from quant_core import calendar
from quant_core.allocation.learning.env_config import EnvConfig
from quant_core.allocation.learning.environment import PortfolioEnv
from quant_core.allocation.learning.stage import Stage
from quant_core.allocation.learning.vector import VectorPortfolioEnv
from quant_core.trading.costs import FlatCosts
from quant_core.trading.market import Market
from quant_core.trading.rules import Rules

SEED = 7
SESSIONS, NAMES, COLUMNS, MARKET_COLUMNS = 1_500, 50, 20, 5
EPISODE, SIDE_BY_SIDE, REPEATS = 252, 64, 5
FINRL_STEPS_A_SECOND = 915.0  # recorded: FinRL's StockPortfolioEnv, 50 names
GOALS = {"single over FinRL, recorded": 60.0, "side by side over single": 3.0}


class Speed(NamedTuple):
    """The best of several runs."""

    wall: float  # steps a second
    cpu: float


def make_stage() -> Stage:
    rng = np.random.default_rng(SEED)
    shape = (SESSIONS, NAMES)
    days = calendar.sessions(calendar.FIRST_DAY, calendar.LAST_DAY)[:SESSIONS]
    market = Market(
        rng.normal(0.0, 0.01, shape), rng.normal(0.0, 0.01, shape), np.ones(shape, np.uint8) * 3,
        cash_return_1d=np.array([2e-4]),
    )  # fmt: skip
    return Stage(
        sessions=days,
        tickers=[f"S{k:02d}" for k in range(NAMES)],
        market=market,
        costs=FlatCosts().schedule(days),
        rules=Rules(),
        capital_inr=1e7,
        decisions=np.arange(SESSIONS),
        eligible=np.ones(shape, bool),
        asset_inputs=rng.normal(size=(*shape, COLUMNS)).astype(np.float32),
        asset_names=tuple(f"features.{k}" for k in range(COLUMNS)),
        market_inputs=rng.normal(size=(SESSIONS, MARKET_COLUMNS)).astype(np.float32),
        market_names=tuple(f"market.{k}" for k in range(MARKET_COLUMNS)),
    )


class RowsEnv(gymnasium.Env):  # type: ignore[type-arg]
    """A table of rows, filtered by date at every step."""

    def __init__(self, stage: Stage) -> None:
        days = np.repeat(np.arange(SESSIONS), NAMES)
        columns = {f"f{k}": stage.asset_inputs[:, :, k].ravel() for k in range(COLUMNS)}
        move = (1.0 + stage.market.overnight_return) * (1.0 + stage.market.intraday_return) - 1.0
        self.table = pl.DataFrame({"day": days, "return": move.ravel(), **columns})
        self.day, self.weights, self.value = 0, np.zeros(NAMES), 1e7

    def reset(self, **_: object) -> tuple[np.ndarray, dict[str, object]]:
        self.day, self.weights, self.value = 0, np.zeros(NAMES), 1e7
        return self._seen(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, object]]:
        wanted = np.exp(action) / np.exp(action).sum()
        cost = 0.002 * np.abs(wanted - self.weights).sum()
        self.day += 1
        seen = self._seen()
        moved = self.table.filter(pl.col("day") == self.day)["return"].to_numpy()
        earned = float(wanted @ moved) - cost
        self.value *= 1.0 + earned
        self.weights = wanted
        return seen, earned, False, self.day >= EPISODE, {}

    def _seen(self) -> np.ndarray:
        rows = self.table.filter(pl.col("day") == self.day)
        return rows.select(pl.exclude("day", "return")).to_numpy()


def best(run: Callable[[], int]) -> Speed:
    run()
    speeds = []
    for _ in range(REPEATS):
        started, busy = time.perf_counter(), time.process_time()
        steps = run()
        speeds.append(Speed(steps / (time.perf_counter() - started), steps / (time.process_time() - busy)))
    return Speed(max(each.wall for each in speeds), max(each.cpu for each in speeds))


def stepped(env: gymnasium.Env, actions: np.ndarray, steps: int) -> int:  # type: ignore[type-arg]
    env.reset(seed=SEED)
    for k in range(steps):
        *_, terminated, truncated, _ = env.step(actions[k % len(actions)])
        if terminated or truncated:
            env.reset()
    return steps


def side_by_side(env: VectorPortfolioEnv, actions: np.ndarray, steps: int) -> int:
    env.reset()
    for k in range(steps):
        env.step(actions[k % len(actions)])
    return steps * env.num_envs


def main() -> None:
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    print(
        f"load average {load} on {os.cpu_count()} cores, niceness {os.nice(0)}; Python {platform.python_version()}, ",
        end="",
    )
    print(f"numpy {np.__version__}, numba {numba.__version__}, gymnasium {gymnasium.__version__}")
    stage, rng = make_stage(), np.random.default_rng(SEED)
    actions = rng.uniform(-1.0, 1.0, (500, SIDE_BY_SIDE, NAMES + 1)).astype(np.float32)
    config = EnvConfig(episode_decisions=EPISODE)
    single, rows = PortfolioEnv(stage, config), RowsEnv(stage)
    many = VectorPortfolioEnv(stage, config, SIDE_BY_SIDE, SEED)
    speeds = {
        "rows": best(lambda: stepped(rows, actions[:, 0, :NAMES], 500)),
        "single": best(lambda: stepped(single, actions[:, 0], 20_000)),
        f"{SIDE_BY_SIDE} side by side": best(lambda: side_by_side(many, actions, 1_000)),
    }
    print(f"{'environment':<18} {'steps/s':>10} {'per s of CPU':>13} {'us of CPU':>10}")
    print(f"{'FinRL, recorded':<18} {FINRL_STEPS_A_SECOND:>10,.0f} {'':>13} {'':>10}")
    for name, (wall, cpu) in speeds.items():
        print(f"{name:<18} {wall:>10,.0f} {cpu:>13,.0f} {1e6 / cpu:>10.2f}")
    of_single, of_many = speeds["single"].cpu, speeds[f"{SIDE_BY_SIDE} side by side"].cpu
    reached = {
        "single over FinRL, recorded": of_single / FINRL_STEPS_A_SECOND,
        "side by side over single": of_many / of_single,
    }
    for name, ratio in reached.items():
        print(f"{name}: {ratio:.1f} x, goal {GOALS[name]:.0f} x: {'reached' if ratio >= GOALS[name] else 'missed'}")
    print(f"single over rows, same run: {of_single / speeds['rows'].cpu:.1f} x")
    print(f"load average at the end {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()
