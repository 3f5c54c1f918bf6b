"""The register of everything that was tried: one return history for each different bet of a profile.

Every backtest writes its strategies here beside its MLflow run; nothing is ever taken out. Reports deflate by the
number of histories and the spread of their Sharpe ratios. What counts as the same bet is
`quant_core.trading.overfitting.trials_like`; a longer run of one replaces it.
"""

import hashlib
import io
from datetime import date

import polars as pl
from upath import UPath

from quant_assets.paths import safe_name
from quant_assets.storage import local_path, write_table
from quant_core.trading.overfitting import trials_like

COLUMNS = ("date", "simple_return_1d", "risk_free_return_1d")
EQUAL = 1e-12


def folder(root: UPath, profile: str) -> UPath:
    """Where a profile's trials are kept."""
    return root / safe_name(profile, "profile") / "trials"


def register(root: UPath, profile: str, daily: pl.DataFrame, benchmark: pl.DataFrame) -> int:
    """Add the strategies of a backtest that no trial is like; returns how many were new.

    Args:
        daily: BacktestDaily; the first session of each strategy only opens the account and is left out.
        benchmark: BenchmarkReturns on the same sessions.
    """
    new, known = 0, load(root, profile)
    for (strategy,), book in sorted(daily.partition_by("strategy", as_dict=True).items()):
        history = (
            book.sort("date")
            .slice(1)
            .join(benchmark.select("date", "risk_free_return_1d"), on="date", maintain_order="left")
            .select(COLUMNS)
        )
        if history.is_empty():
            continue
        found = _same(history, str(strategy), known)
        trial = found or _name(str(strategy), history)
        if found is None or history.height > known.filter(pl.col("trial") == found).height:
            _write(root, profile, trial, str(strategy), history)
            entry = history.select(*COLUMNS, trial=pl.lit(trial), strategy=pl.lit(str(strategy)))
            known = pl.concat([known.filter(pl.col("trial") != trial), entry.select(known.columns)]).sort(
                "trial", "date"
            )
        new += found is None
    return new


def load(root: UPath, profile: str, until: date | None = None) -> pl.DataFrame:
    """Rows (trial, strategy, date, simple_return_1d, risk_free_return_1d) up to `until`, by trial and date."""
    parts = []
    for path in _paths(folder(root, profile)):
        table = pl.read_parquet(local_path(path) or io.BytesIO(path.read_bytes()))
        parts.append(table.select(pl.lit(path.stem).alias("trial"), "strategy", *COLUMNS))
    schema = {"trial": pl.String, "strategy": pl.String, "date": pl.Date} | dict.fromkeys(COLUMNS[1:], pl.Float64)
    table = pl.concat([pl.DataFrame(schema=schema), *parts])
    return table if until is None else table.filter(pl.col("date") <= until)


def sharpes(trials: pl.DataFrame) -> pl.DataFrame:
    """Rows (trial, strategy, n_sessions, sharpe_1d): the Sharpe ratio per session, null where it is flat."""
    excess = pl.col("simple_return_1d") - pl.col("risk_free_return_1d")
    spread = excess.std()
    return (
        trials.group_by("trial", "strategy", maintain_order=True)
        .agg(n_sessions=pl.len(), sharpe_1d=pl.when(spread > EQUAL).then(excess.mean() / spread))
        .sort("trial")
    )


def signature(root: UPath, profile: str, until: date) -> str:
    """Changes when a trial up to `until` is added or differs."""
    trials = load(root, profile, until)
    return hashlib.sha256(trials.write_csv().encode()).hexdigest()[:16]


def _same(history: pl.DataFrame, strategy: str, known: pl.DataFrame) -> str | None:
    """The trial that is the same bet; one of the same strategy that agrees to rounding is, however short it is."""
    own = known.filter(pl.col("strategy") == strategy).join(history, on="date", suffix="_new")
    gap = (pl.col("simple_return_1d") - pl.col("simple_return_1d_new")).abs()
    equal = own.group_by("trial").agg(gap=gap.max()).filter(pl.col("gap") <= EQUAL).sort("trial")["trial"].to_list()
    alike = equal or trials_like(history, known.select("trial", "date", "simple_return_1d"))
    return alike[0] if alike else None


def _name(strategy: str, history: pl.DataFrame) -> str:
    digest = hashlib.sha256(history.write_csv().encode()).hexdigest()[:10]
    return safe_name(f"{strategy}-{digest}", "strategy")


def _write(root: UPath, profile: str, trial: str, strategy: str, history: pl.DataFrame) -> None:
    write_table(folder(root, profile) / f"{trial}.parquet", history.with_columns(strategy=pl.lit(strategy)), trial)


def _paths(place: UPath) -> list[UPath]:
    return sorted((p for p in place.iterdir() if p.suffix == ".parquet"), key=str) if place.exists() else []
