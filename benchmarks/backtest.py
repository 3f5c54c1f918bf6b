"""How fast the ledger is beside a numpy day loop and, if asked for, vectorbt: same panel, same machine, same run.

    python benchmarks/backtest.py [--vectorbt-python PATH]

The case is top-5 of random scores decided every session, filled at the next open, 20 bps a side. `PATH` is the
interpreter of an environment made from benchmarks/peers/requirements-vectorbt.txt. Compilation and vectorbt's import
are not counted. An implementation whose equity differs from ours stops the run. Ratios are of CPU time, which other
work on the machine stretches least; nothing here but the variants uses more than one thread.
"""

import argparse
import json
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np

from quant_core.calendar import FIRST_DAY, LAST_DAY, sessions
from quant_core.trading.account import Account
from quant_core.trading.costs import FlatCosts
from quant_core.trading.decisions import Decisions
from quant_core.trading.ledger import Ledger, run_ledger, run_ledgers
from quant_core.trading.market import Market
from quant_core.trading.weights import top_n_weights

SEED = 7
SESSIONS = 4_000
SIZES = (50, 500, 2_000)
VARIANTS = 1_000
COSTS = FlatCosts()
CAPITAL = 1e7
PEER = Path(__file__).parent / "peers" / "vectorbt_golden.py"
SCHEDULE = COSTS.schedule(sessions(FIRST_DAY, LAST_DAY)[:SESSIONS])
Panel = dict[str, np.ndarray]

#: Largest accepted relative difference of equity on any session. vectorbt takes numbers within 1e-9 of each other for
#: equal at every order (vectorbt.utils.math_), which adds up over thousands of sessions.
TOLERANCE = {"run_ledger": 0.0, "numpy day loop": 1e-12, "vectorbt": 1e-7}


class Times(NamedTuple):
    """The best of several runs, milliseconds."""

    wall: float
    cpu: float


def make_panel(names: int) -> Panel:
    """Random walk opens and closes (T, N), the returns between them, and top-5 targets that leave 2 % in cash.

    The cash lets fees be paid without cutting purchases, the one rule in which vectorbt differs.
    """
    rng = np.random.default_rng(SEED)
    path = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.008, (2 * SESSIONS, names)), axis=0))
    open_, close = path[0::2].copy(), path[1::2].copy()
    overnight = np.full((SESSIONS, names), np.nan)
    overnight[1:] = open_[1:] / close[:-1] - 1.0
    targets = 0.98 * top_n_weights(rng.normal(size=(SESSIONS, names)), 5)
    panel = {
        "open_": open_,
        "close": close,
        "overnight": overnight,
        "intraday": close / open_ - 1.0,
        "targets": targets,
    }
    return panel | {"tradable": np.ones(targets.shape, dtype=bool)}


def market_of(panel: Panel) -> Market:
    """What every strategy on the panel shares; made once, as a backtest does."""
    return Market(panel["overnight"], panel["intraday"], panel["tradable"])


def run_ours(market: Market, decisions: Decisions) -> Ledger:
    """Every output of the ledger: holdings and trades too."""
    return run_ledger(market, decisions, SCHEDULE, None, CAPITAL)


def run_numpy(panel: Panel) -> np.ndarray:
    """The usual vectorised day loop: every operation on all names, one Python iteration a session."""
    overnight, intraday, targets = (np.nan_to_num(panel[k]) for k in ("overnight", "intraday", "targets"))
    value, cash, equity = np.zeros(targets.shape[1]), CAPITAL, np.full(SESSIONS, CAPITAL)
    for t in range(1, SESSIONS):
        value *= 1.0 + overnight[t]
        order = targets[t - 1] * (cash + value.sum()) - value
        buys, sells = np.maximum(order, 0.0), np.minimum(order, 0.0)
        cash -= sells.sum() * (1.0 - COSTS.rate)
        bill = buys.sum() * (1.0 + COSTS.rate)
        share = min(1.0, cash / bill) if bill > 0.0 else 1.0
        cash -= bill * share
        value += sells + buys * share
        value *= 1.0 + intraday[t]
        equity[t] = cash + value.sum()
    return equity


def best_ms(run: Callable[[], object], repeats: int) -> Times:
    run()
    wall, cpu = [], []
    for _ in range(repeats):
        started, busy = time.perf_counter(), time.process_time()
        run()
        wall.append(time.perf_counter() - started)
        cpu.append(time.process_time() - busy)
    return Times(min(wall) * 1e3, min(cpu) * 1e3)


def run_vectorbt(interpreter: str, panel: Panel) -> tuple[Times, np.ndarray]:
    """Best times and the equity, measured inside the peer's own process."""
    with tempfile.TemporaryDirectory() as folder:
        stored = Path(folder) / "panel.npz"
        np.savez(stored, **{k: panel[k] for k in ("open_", "close", "targets")}, fee_rate=COSTS.rate)
        command = [interpreter, str(PEER), "time", str(stored)]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result = json.loads(answer.splitlines()[-1])
    return Times(result["wall_ms"], result["cpu_ms"]), np.array(result["equity"])


def rows_for(names: int, interpreter: str | None) -> list[tuple[str, str, Times, float]]:
    """(case, implementation, best times, largest relative difference of equity from ours)."""
    panel = make_panel(names)
    market, decisions = market_of(panel), Decisions.from_dense(panel["targets"])
    equity = run_ours(market, decisions).equity
    case = f"{SESSIONS:,} x {names}"
    rows = [(case, "run_ledger", best_ms(lambda: run_ours(market, decisions), 200), 0.0)]
    loop = run_numpy(panel)
    rows.append(
        (case, "numpy day loop", best_ms(lambda: run_numpy(panel), 3), float(np.max(np.abs(loop / equity - 1))))
    )
    if interpreter:
        times, peer = run_vectorbt(interpreter, panel)
        rows.append((case, "vectorbt", times, float(np.max(np.abs(peer / equity - 1)))))
    return rows


def variants(names: int, threads: int) -> Times:
    """Many strategies on one panel, from ten different target tables, every book kept; the better of two passes."""
    panel = make_panel(names)
    market = market_of(panel)
    tables = [Decisions.from_dense(np.roll(panel["targets"], shift, axis=1)) for shift in range(10)]
    several = [tables[k % len(tables)] for k in range(VARIANTS)]
    return best_ms(lambda: run_ledgers(market, several, SCHEDULE, None, CAPITAL, threads), 2)


def steps_us(names: int) -> float:
    """CPU microseconds that a stepped account takes for a session."""
    panel = make_panel(names)
    market = market_of(panel)

    def walk() -> None:
        account = Account(market, SCHEDULE, None, CAPITAL)
        for weights in panel["targets"][:-1]:
            account.step(weights)

    return best_ms(walk, 3).cpu / (SESSIONS - 1) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectorbt-python", metavar="PATH", help="interpreter of vectorbt's environment")
    interpreter = parser.parse_args().vectorbt_python
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    print(f"load average {load} on {os.cpu_count()} cores; Python {platform.python_version()}, ", end="")
    print(f"numpy {np.__version__}, numba {numba.__version__}")
    print(f"{'case':<14} {'implementation':<16} {'wall ms':>10} {'CPU ms':>10} {'x ours':>8} {'max difference':>15}")
    for names in SIZES:
        rows = rows_for(names, interpreter)
        for case, implementation, (wall, cpu), difference in rows:
            ratio = cpu / rows[0][2].cpu
            print(f"{case:<14} {implementation:<16} {wall:>10.2f} {cpu:>10.2f} {ratio:>8.1f} {difference:>15.1e}")
            if difference > TOLERANCE[implementation]:
                raise SystemExit(f"{implementation} is off by {difference:.1e}; its timing means nothing.")
    for threads in (1, 2):
        wall, cpu = (milliseconds / 1e3 for milliseconds in variants(SIZES[0], threads))
        print(
            f"{VARIANTS:,} variants at {SESSIONS:,} x {SIZES[0]}: {wall:.2f} s in {threads} threads, {cpu:.2f} s of CPU"
        )
    print(f"a step of an account of {SIZES[0]} names: {steps_us(SIZES[0]):.0f} us of CPU")
    print(f"load average at the end {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()
