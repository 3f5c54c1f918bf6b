"""Reading the full market from one file, beside another checkout of the lab, in turns.

    python benchmarks/reading.py
    python benchmarks/reading.py --against ../lab-before --rounds 5

A market of 2,346 stocks x 1,053 sessions less late listings (about 1.67 million rows, as NSE's of 2019-10 to 2023-12),
seeded: as Parquet, as CSV, 200,000 rows as CSV with quoted, grouped prices, and as a bhavcopy a session. Each reading
is a process of its own that has imported everything before its clock starts; both checkouts take turns, so that a load
of the machine meets both. `--parquet FILE` reads a file of your own instead.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, date, datetime
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
N_TICKERS, N_SESSIONS = 2346, 1053
FIRST, LAST = date(2000, 1, 1), date(2026, 12, 31)


def market() -> "pl.DataFrame":
    """Date, symbol, series, prices, volume; two decimals."""
    random = np.random.default_rng(0)
    days = sessions(date(2019, 10, 1), date(2024, 6, 30))[:N_SESSIONS]
    listed = random.integers(0, N_SESSIONS, N_TICKERS) * (random.random(N_TICKERS) < 0.65)
    session, ticker = np.nonzero(np.arange(N_SESSIONS)[:, None] >= listed[None, :])
    close = np.round(
        np.exp(random.normal(5.0, 1.5, N_TICKERS))[ticker] * np.exp(random.normal(0, 0.02, len(ticker))), 2
    )
    names = np.array([f"STOCK{n:04d}" for n in range(N_TICKERS)])
    return pl.DataFrame(
        {
            "date": pl.Series(np.array(days, dtype="datetime64[D]")[session], dtype=pl.Date),
            "symbol": names[ticker], "series": "EQ", "prev_close": close, "open": close,
            "high": np.round(close * 1.01 + 0.01, 2), "low": np.round(close * 0.99 - 0.001, 2), "close": close,
            "volume": random.integers(100, 5_000_000, len(ticker)),
        }
    )  # fmt: skip


def write_files(folder: Path) -> dict[str, Path]:
    """The market in every form."""
    rows = market()
    whole = {name: folder / name for name in ("parquet", "csv", "grouped", "daily")}
    for path in whole.values():
        path.mkdir()
    rows.write_parquet(whole["parquet"] / "prices.parquet")
    rows.write_csv(whole["csv"] / "prices.csv")
    grouped = [pl.col(name).map_elements(lambda x: f"{x:,.2f}", pl.String) for name in ("open", "high", "low", "close")]
    rows.head(200_000).with_columns(grouped).write_csv(whole["grouped"] / "prices.csv", quote_style="always")
    names = {"symbol": "SYMBOL", "series": "SERIES", "date": "DATE1", "prev_close": "PREV_CLOSE", "open": "OPEN_PRICE",
             "high": "HIGH_PRICE", "low": "LOW_PRICE", "close": "CLOSE_PRICE", "volume": "TTL_TRD_QNTY"}  # fmt: skip
    for (day,), part in rows.partition_by("date", as_dict=True).items():
        daily = part.with_columns(pl.col("date").dt.strftime("%d-%b-%Y")).rename(names).select(list(names.values()))
        daily.write_csv(whole["daily"] / f"sec_bhavdata_full_{day:%d%m%Y}.csv")
    return whole


def read_once(path: str) -> dict[str, float]:
    """Seconds and rows of one fetch of everything; runs in a process of its own."""
    from quant_core.market.sources.files import FilesSource

    source = FilesSource(path=path, actions="none")
    wall, cpu = time.perf_counter(), time.process_time()
    rows = source.fetch(None, FIRST, LAST, datetime(2026, 1, 1, tzinfo=UTC)).rows
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "rows": rows.height, "peak": peak}


def measure(checkout: Path, path: Path) -> dict[str, float]:
    """`read_once` by the code of a checkout."""
    code = f"import sys; sys.path.insert(0, {str(HERE / 'benchmarks')!r}); import json, reading; " + (
        f"print(json.dumps(reading.read_once({str(path)!r})))"
    )
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=checkout, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="another checkout of the lab")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parquet", type=Path, help="a file or folder of your own")
    options = parser.parse_args()
    checkouts = {"this": HERE} | ({"other": options.against.resolve()} if options.against else {})
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as folder:
        forms = {"own": options.parquet} if options.parquet else write_files(Path(folder))
        for form, path in forms.items():
            runs: dict[str, list[dict[str, float]]] = {name: [] for name in checkouts}
            for _ in range(options.rounds):
                for name, checkout in checkouts.items():
                    runs[name].append(measure(checkout, path))
            for name, found in runs.items():
                wall, cpu = ([one[what] for one in found] for what in ("wall", "cpu"))
                print(
                    f"{form:8} {name:6} {found[0]['rows']:>9,.0f} rows  wall {min(wall):6.2f} s (median "
                    f"{statistics.median(wall):.2f})  cpu {min(cpu):6.2f} s (median {statistics.median(cpu):.2f})  "
                    f"peak {max(one['peak'] for one in found):,.0f} MiB"
                )


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    import numpy as np
    import polars as pl

    from quant_core.calendar import sessions

    main()
