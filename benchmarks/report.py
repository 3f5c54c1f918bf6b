"""How long the report takes to render and how large it is, beside one Plotly page a figure: same data, same run.

    python benchmarks/report.py

Ten strategies over fourteen years of sessions, twenty names each, from the generator of the report's tests. Templates
and Plotly's script are read once before the clock starts; making the tables is not counted.
"""

import importlib.util
import os
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from quant_core.report.render import render_report

GENERATOR = Path(__file__).parents[1] / "tests" / "core" / "report" / "conftest.py"
FIGURES = 10


def make_input() -> Any:
    spec = importlib.util.spec_from_file_location("report_generator", GENERATOR)
    assert spec is not None and spec.loader is not None  # noqa: PT018
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.build(date(2010, 1, 1), date(2023, 12, 31), strategies=(*module.STRATEGIES, *module.MORE))


def plotly_pages(data: Any) -> int:
    """FIGURES equity charts of every strategy, each a page of its own as `to_html` makes it; total bytes."""
    import plotly.graph_objects as go

    books = data.daily.sort("date").partition_by("strategy", as_dict=True)
    total = 0
    for _ in range(FIGURES):
        lines = [go.Scatter(x=b["date"].to_list(), y=b["equity_inr"].to_list(), name=n) for (n,), b in books.items()]
        total += len(go.Figure(lines).to_html().encode())
    return total


def best_s(run: Callable[[], object], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def main() -> None:
    data = make_input()
    page = render_report(data)
    ours, peer = best_s(lambda: render_report(data), 5), best_s(lambda: plotly_pages(data), 1)
    days, books = data.daily["date"].n_unique(), data.daily["strategy"].n_unique()
    print(f"load average {os.getloadavg()[0]:.2f}; {books} strategies x {days:,} sessions, ", end="")
    print(f"{data.positions.height:,} positions, {data.trades.select(pl.len()).item():,} trades")
    n_figures = page.count('type="application/json" data-for=')
    print(f"{'report':<28} {n_figures:>3} figures {ours:>7.2f} s {len(page.encode()) / 1e6:>7.2f} MB")
    size = plotly_pages(data) / 1e6
    print(
        f"{'plotly, a page a figure':<28} {FIGURES:>3} figures {peer:>7.2f} s {size:>7.2f} MB  "
        f"({peer / ours:.0f}x the time)"
    )


if __name__ == "__main__":
    main()
