"""Which book to hold in which regime, chosen on what the candidates did in a fit window. Deciding and running them
belongs elsewhere.
"""

from dataclasses import dataclass

import polars as pl

from quant_core.backtest.by_regime import BENCHMARK, performance_by_regime
from quant_core.errors import DataError
from quant_core.schema import CASH, REGIME_NAMES, RegimeBooks, validate

#: The book that lets regimes choose cannot be chosen.
CHOOSER = "regime_switched"


@dataclass(frozen=True)
class RegimeBooksConfig:
    """Among which books is chosen.

    Args:
        candidates: registered strategies of one book each, and CASH for none.
        fewest_sessions: of a regime in the fit window for its best book to be believed; with fewer, the book that did
            best over the whole window is held.
        regime_method: whose regimes; a profile names it as `regime_method`.
    """

    candidates: tuple[str, ...] = (
        "equal_weight", "buy_hold_index", "min_variance", "momentum", "inverse_volatility", CASH,
    )  # fmt: skip
    fewest_sessions: int = 60
    regime_method: str = "hmm"

    def __post_init__(self) -> None:
        if len(set(self.candidates)) < len(self.candidates) or not set(self.candidates) - {CASH}:
            raise DataError(
                f"regime_books: candidates are {list(self.candidates)}; wanted different names, one beside {CASH!r}."
            )
        if CHOOSER in self.candidates:
            raise DataError(f"regime_books: {CHOOSER} is a candidate; it holds what is chosen here, leave it out.")
        if self.fewest_sessions < 2:
            raise DataError(f"regime_books: fewest_sessions is {self.fewest_sessions}; wanted at least 2.")


def choose_books(
    daily: pl.DataFrame, benchmark: pl.DataFrame, labels: pl.DataFrame, fold: str, config: RegimeBooksConfig
) -> pl.DataFrame:
    """The candidate with the highest Sharpe ratio in each regime, net of costs; of equals the first by name.

    A session belongs to the regime of the session before it, as in `performance_by_regime`. The ratio of CASH is 0:
    what it earns is the rate that the others are measured over. All are compared over the same sessions, from the day
    on which the last of them began. What it costs to go from one book to another is not counted.

    Args:
        daily, benchmark: BacktestDaily of the candidates over the fit window, and BenchmarkReturns.
        labels: rows (date, regime).
        fold: that holds what is chosen.
    Returns:
        RegimeBooks: every regime's every candidate. A regime with fewer than `fewest_sessions` sessions holds what did
        best over all labelled ones.
    """
    begin = daily.group_by("strategy").agg(pl.col("date").min())["date"].max()
    daily, benchmark = (table.filter(pl.col("date") >= begin) for table in (daily, benchmark))
    asked = pl.DataFrame({"strategy": sorted(config.candidates)})
    regimes = pl.DataFrame({"regime": REGIME_NAMES}, schema={"regime": pl.String})
    overall = _ratios(daily, benchmark, labels.with_columns(regime=pl.lit("all"))).select(
        "strategy", whole="sharpe_ann"
    )
    enough = pl.col("n_sessions") >= config.fewest_sessions
    found = (
        regimes.join(asked, how="cross")
        .join(_ratios(daily, benchmark, labels), on=["regime", "strategy"], how="left")
        .join(overall, on="strategy", how="left")
        .with_columns(pl.col("n_sessions").fill_null(0), pl.when(enough).then("sharpe_ann").alias("sharpe_ann"))
    )
    order = ["regime", "sharpe_ann", "whole", "strategy"]
    ranked = found.sort(order, descending=[False, True, True, False], nulls_last=True)
    table = ranked.select(
        pl.lit(fold).alias("fold"), "regime", "strategy", pl.lit(daily["date"].max()).alias("fit_end"), "n_sessions",
        "sharpe_ann", is_chosen=pl.int_range(pl.len()).over("regime") == 0,
    )  # fmt: skip
    return validate(table.sort("fold", "regime", "strategy"), RegimeBooks, "regime_books", "report it.")


def _ratios(daily: pl.DataFrame, benchmark: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    """strategy, regime, n_sessions, sharpe_ann of every candidate, and of CASH on every session of the benchmark."""
    table = performance_by_regime(daily, benchmark, labels)
    table = table.select("strategy", "regime", "n_sessions", "sharpe_ann")
    is_index = pl.col("strategy") == BENCHMARK
    cash = table.filter(is_index).with_columns(strategy=pl.lit(CASH), sharpe_ann=pl.lit(0.0))
    return pl.concat([table.filter(~is_index), cash])
