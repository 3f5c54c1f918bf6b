"""How fast FinRL's portfolio environment is stepped. Runs in its own environment, for benchmarks/learning_env.py.

    python benchmarks/peers/finrl_peer.py SESSIONS NAMES COLUMNS STEPS REPEATS   # one JSON line

Its observation is the covariance matrix of the day and the columns; no ledger, no costs, no drift of weights. The file
is loaded alone: the package imports brokers and Ray.
"""

import importlib.util
import json
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd


def environment_class():
    package = importlib.util.find_spec("finrl")
    file = Path(package.submodule_search_locations[0]) / "meta/env_portfolio_allocation/env_portfolio.py"
    spec = importlib.util.spec_from_file_location("env_portfolio", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.StockPortfolioEnv


def make_env(sessions, names, columns):
    """Rows by day and name as FinRL's examples make them: the index is the day, `cov_list` holds its matrix."""
    rng = np.random.default_rng(7)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.014, (sessions, names)), axis=0))
    table = pd.DataFrame(
        {
            "date": np.repeat(pd.bdate_range("2008-01-01", periods=sessions), names),
            "tic": np.tile([f"S{k:02d}" for k in range(names)], sessions),
            "close": close.ravel(),
            **{f"f{k}": rng.normal(size=sessions * names) for k in range(columns)},
        },
        index=np.repeat(np.arange(sessions), names),
    )
    covariance = 2e-4 * (0.7 * np.eye(names) + 0.3)
    table["cov_list"] = [covariance] * len(table)
    return environment_class()(
        df=table, stock_dim=names, hmax=100, initial_amount=1e7, transaction_cost_pct=0.002, reward_scaling=1.0,
        state_space=names, action_space=names, tech_indicator_list=[f"f{k}" for k in range(columns)],
    )  # fmt: skip


def main():
    sessions, names, columns, steps, repeats = map(int, sys.argv[1:])
    env = make_env(sessions, names, columns)
    actions = np.random.default_rng(7).uniform(0.0, 1.0, (steps, names))
    speeds = []
    for _ in range(repeats + 1):
        env.reset()
        started, busy = time.perf_counter(), time.process_time()
        for action in actions:
            env.step(action)
        speeds.append((steps / (time.perf_counter() - started), steps / (time.process_time() - busy)))
    wall, cpu = np.max(speeds[1:], axis=0)
    print(json.dumps({"wall": wall, "cpu": cpu}))


if __name__ == "__main__":
    main()
