"""What vectorbt gets from the same prices and targets as our ledger. Runs in vectorbt's own environment.

    python benchmarks/peers/vectorbt_golden.py golden tests/core/backtest/golden/vectorbt.json
    python benchmarks/peers/vectorbt_golden.py time panel.npz   # one JSON line, for benchmarks/backtest.py

Settings that make the rules equal: size in target percent of the group's value at the order price, cash shared by all
columns, sells before buys (call_seq="auto"), orders at the open of the session after the decision, fees on traded
value.

One rule differs and cannot be set: when cash does not cover all buys, vectorbt fills them one after another and the
last takes what is left; our ledger shrinks all buys by one factor, so that no order of names matters. Both agree when
at most one name is bought at a time, so the fully invested case with fees moves weight between two names only.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

SEED = 20240614
SESSIONS, NAMES = 60, 6
INITIAL_CAPITAL = 1e7


def random_prices(rng, sessions, names):
    """Opens and closes in rupees and paise, so that the stored file is exact."""
    gaps = np.exp(rng.normal(0.0, 0.008, (2 * sessions, names)))
    path = np.round(rng.uniform(100.0, 3000.0, names) * np.cumprod(gaps, axis=0), 2)
    return path[0::2], path[1::2]


def random_targets(rng, sessions, names, invested, every):
    """Random weights that sum to `invested`, decided every few sessions; NaN rows between."""
    targets = np.full((sessions, names), np.nan)
    for row in range(1, sessions, every):
        raw = rng.exponential(1.0, names) * (rng.random(names) < 0.6)
        raw[rng.integers(names)] += 0.5
        targets[row] = np.floor(raw / raw.sum() * invested * 1e4) / 1e4
        targets[row, np.argmax(targets[row])] += invested - targets[row].sum()
    return targets


def switching_targets(rng, sessions, names, every):
    """Fully invested: all in the first name, then random splits of two names, so that each decision buys one."""
    targets = np.full((sessions, names), np.nan)
    for k, row in enumerate(range(1, sessions, every)):
        share = 1.0 if k == 0 else float(np.round(rng.uniform(0.0, 1.0), 4))
        targets[row] = 0.0
        targets[row, :2] = share, 1.0 - share
    return targets


def simulate(open_, close, targets, fee_rate, fill):
    import pandas as pd
    import vectorbt as vbt

    size = np.vstack([np.full((1, targets.shape[1]), np.nan), targets[:-1]])  # decided at t, filled at t + 1
    prices = pd.DataFrame(close)
    return vbt.Portfolio.from_orders(
        prices,
        size=pd.DataFrame(size),
        size_type="targetpercent",
        price=pd.DataFrame(open_) if fill == "open" else prices,
        fees=fee_rate,
        init_cash=INITIAL_CAPITAL,
        cash_sharing=True,
        group_by=True,
        call_seq="auto",
        freq="1D",
    )


def golden(path):
    import vectorbt as vbt

    rng = np.random.default_rng(SEED)
    open_, close = random_prices(rng, SESSIONS, NAMES)
    cases = {
        "cash buffer with fees": (random_targets(rng, SESSIONS, NAMES, 0.9, 3), 0.0020, "open"),
        "cash buffer with fees, filled at the close": (random_targets(rng, SESSIONS, NAMES, 0.9, 3), 0.0020, "close"),
        "fully invested without fees": (random_targets(rng, SESSIONS, NAMES, 1.0, 1), 0.0, "open"),
        "fully invested with fees, one buy at a time": (switching_targets(rng, SESSIONS, NAMES, 2), 0.0020, "open"),
    }
    stored = {"vectorbt": vbt.__version__, "seed": SEED, "initial_capital": INITIAL_CAPITAL, "cases": {}}
    stored |= {"open_inr": open_.tolist(), "close_inr": close.tolist()}
    for name, (targets, fee_rate, fill) in cases.items():
        result = simulate(open_, close, targets, fee_rate, fill)
        decided = {str(row): targets[row].tolist() for row in range(SESSIONS) if not np.isnan(targets[row]).any()}
        stored["cases"][name] = {
            "fee_rate": fee_rate,
            "fill": fill,
            "targets": decided,
            "equity": result.value().to_numpy().tolist(),
            "cash": result.cash().to_numpy().tolist(),
        }
    Path(path).write_text(json.dumps(stored, separators=(",", ":")) + "\n")


def time_panel(path, repeats=5):
    panel = np.load(path)
    wall, cpu = [], []
    for _ in range(repeats + 1):  # the first run compiles
        started, busy = time.perf_counter(), time.process_time()
        value = simulate(panel["open_"], panel["close"], panel["targets"], float(panel["fee_rate"]), "open").value()
        wall.append(time.perf_counter() - started)
        cpu.append(time.process_time() - busy)
    best = {"wall_ms": min(wall[1:]) * 1e3, "cpu_ms": min(cpu[1:]) * 1e3}
    print(json.dumps(best | {"equity": value.to_numpy().tolist()}))


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("golden", "time"):
        sys.exit(__doc__)
    {"golden": golden, "time": time_panel}[sys.argv[1]](sys.argv[2])
