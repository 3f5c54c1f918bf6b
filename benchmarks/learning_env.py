"""How fast the learning environment is, one episode and many side by side, beside FinRL's if asked for.

    python benchmarks/learning_env.py [--finrl-python PATH]

The case is 50 names with 20 columns each and 5 of the market, decided every session on random actions, 20 bps a side,
stepped as a user steps it: observations as dicts that may be kept, infos, resets where an episode ends. `PATH` is the
interpreter of an environment made as benchmarks/peers/requirements-finrl.txt says; without it FinRL's speed is one
recorded before this was written, on another run. Ratios are of CPU time of one thread, which other work on the machine
stretches least, but for the recorded figure, which is of wall time.
"""

import argparse
import json
import os
import platform
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import gymnasium
import numba
import numpy as np

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
PEER = Path(__file__).parent / "peers" / "finrl_peer.py"


class Speed(NamedTuple):
    """The best of several runs."""

    wall: float  # steps a second
    cpu: float


FINRL_RECORDED = Speed(915.0, 915.0)


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


def run_finrl(interpreter: str) -> Speed:
    """Measured inside the peer's own process."""
    sizes = (SESSIONS, NAMES, COLUMNS, 500, REPEATS)
    command = [interpreter, str(PEER), *map(str, sizes)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Speed(**json.loads(answer.splitlines()[-1]))


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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--finrl-python", metavar="PATH", help="interpreter of FinRL's environment")
    interpreter = parser.parse_args().finrl_python
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    print(f"load average {load} on {os.cpu_count()} cores, niceness {os.nice(0)}; Python {platform.python_version()}")
    print(f"numpy {np.__version__}, numba {numba.__version__}, gymnasium {gymnasium.__version__}")
    stage, rng = make_stage(), np.random.default_rng(SEED)
    actions = rng.uniform(-1.0, 1.0, (500, SIDE_BY_SIDE, NAMES + 1)).astype(np.float32)
    config = EnvConfig(episode_decisions=EPISODE)
    single, many = PortfolioEnv(stage, config), VectorPortfolioEnv(stage, config, SIDE_BY_SIDE, SEED)
    speeds = {
        "FinRL": run_finrl(interpreter) if interpreter else FINRL_RECORDED,
        "single": best(lambda: stepped(single, actions[:, 0], 20_000)),
        f"{SIDE_BY_SIDE} side by side": best(lambda: side_by_side(many, actions, 1_000)),
    }
    print(f"{'environment':<18} {'steps/s':>10} {'per s of CPU':>13} {'us of CPU':>10}")
    for name, (wall, cpu) in speeds.items():
        print(f"{name:<18} {wall:>10,.0f} {cpu:>13,.0f} {1e6 / cpu:>10.2f}")
    finrl, of_single, of_many = (each.cpu for each in speeds.values())
    report(f"single over FinRL{'' if interpreter else ', recorded'}", of_single / finrl, 60.0)
    report("side by side over single", of_many / of_single, 3.0)
    print(f"load average at the end {os.getloadavg()[0]:.2f}")


def report(what: str, ratio: float, goal: float) -> None:
    print(f"{what}: {ratio:.1f} x, goal {goal:.0f} x: {'reached' if ratio >= goal else 'missed'}")


if __name__ == "__main__":
    main()
