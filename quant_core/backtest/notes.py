"""What a reader must know of how a test was run, in sentences: trading, benchmark, ends of names, failed decisions.

What limits any result, however it was tested, is said in `report.notes`.
"""

import polars as pl

from quant_core.backtest.benchmark import estimated_days
from quant_core.backtest.config import BacktestConfig
from quant_core.measures.known_days import known_days
from quant_core.schema import DELISTING, NO_SERIES

#: A first decision by month's end is a session or a month late; what begins later has missed decisions.
LATE_DAYS = 45
NO_BENCHMARK = (
    "NO BENCHMARK: the prices have no row of the index, so that nothing is compared with it and what is measured "
    "against it is blank. A file of its prices beside the others (NIFTY 50.csv) is enough."
)


def trading_notes(settings: BacktestConfig) -> list[str]:
    """How decisions became trades, and what cash earned."""
    charges = {
        "flat": f"each side pays {settings.commission_bps:g} bps of commission",
        "nse_delivery": "trades pay NSE's delivery charges of their day (STT, stamp duty, exchange, SEBI, GST, DP; "
        f"docs/costs.md) and {settings.commission_bps:g} bps of brokerage",
    }[settings.cost_model]
    impact = "no impact of their own size"
    if settings.impact_coefficient > 0.0:
        impact = f"square-root impact with coefficient {settings.impact_coefficient:g}"
    delay = "the next session" if settings.delay_sessions == 1 else f"session {settings.delay_sessions} after"
    rate = settings.risk_free_rate_ann
    cash = "the RBI policy repo rate of the day" if rate is None else f"a constant {rate:.1%} a year"
    return [
        f"Decisions at the close are filled at the {settings.fill} of {delay}; {charges}, "
        f"{settings.slippage_bps + settings.spread_bps:g} bps of slippage and spread, and {impact}. An index is "
        "traded as a fund without a fee would be.",
        f"Cash earns, and ratios subtract, {cash}. Dividends are "
        + {"cash": "paid into cash.", "reinvest": "left in the name that paid them."}[settings.dividends],
    ]


def benchmark_notes(benchmark: pl.DataFrame) -> list[str]:
    """Which indices it is made of, and which of its days are estimates."""
    guessed = estimated_days(benchmark)
    sure = benchmark.join(guessed, on="date", how="anti").filter(pl.col("series") != NO_SERIES)
    series, known = sure["series"].unique().sort().to_list(), known_days(benchmark)
    if known.is_empty():
        return [NO_BENCHMARK]
    found = [
        f"Benchmark: {' and '.join(series)}; a price index leaves out dividends (about 1.3 % a year for NIFTY 50)."
    ]
    if known.height < benchmark.height:
        found.append(
            f"The benchmark is known from {known['date'][0]} to {known['date'][-1]} only: what is measured against it "
            "is measured there."
        )
        guessed = guessed.filter(pl.col("date").is_in(known["date"].implode()))
    if guessed.height:
        found.append(
            f"{guessed.height} benchmark days, the last {guessed['date'].max()!s}, are estimates: the price index's "
            "return and the trailing dividend yield until the total return is published, or 0 without any index row."
        )
    return found


def delisting_notes(trades: pl.DataFrame, haircut: float) -> list[str]:
    """Names that were held when they stopped trading, by terms or at the haircut for want of them."""
    ended = trades.filter(pl.col("side") == DELISTING)
    unsaid = ended.filter(pl.col("cost_inr") > 0.0)["ticker"].unique().sort().to_list()
    known = ended.filter(pl.col("cost_inr") <= 0.0)["ticker"].unique().sort().to_list()
    found = [
        f"A position that stops trading without known terms is paid out {haircut:.0%} below its last value "
        f"({', '.join(unsaid) if unsaid else 'none was'}); the result with nothing and with everything lost is under "
        "robustness."
    ]
    return [*found, f"Ended by merger, cash or write-off as listed: {', '.join(known)}."] if known else found


def failure_notes(failures: pl.DataFrame) -> list[str]:
    """Strategies that could not decide on some dates, and kept their books."""
    by_strategy = failures.group_by("strategy").agg(pl.len(), pl.col("date").min().alias("first"),
                                                           pl.col("date").max().alias("last"))  # fmt: skip
    return [
        f"FAILED: {name} could not decide on {n} {'date' if n == 1 else 'dates'} from {first} to {last} and kept its "
        "book then; the check strategies_decided of target_weights has the reasons."
        for name, n, first, last in by_strategy.sort("strategy").iter_rows()
    ]


def late_notes(positions: pl.DataFrame, daily: pl.DataFrame) -> list[str]:
    """Books that held nothing for their first month or longer: their figures are of cash until then.

    Args:
        positions: BacktestPositions.
        daily: BacktestDaily.
    """
    begun = positions.group_by("strategy").agg(pl.col("date").min().alias("held"))
    spans = daily.group_by("strategy").agg(pl.col("date").min().alias("first"), pl.col("date").max().alias("last"))
    late = spans.join(begun, on="strategy", how="left").sort("strategy")
    return [
        f"LATE: {name} held nothing until {held or last} (the test begins on {first}): nothing was decided before, and "
        "its figures are of cash until then."
        for name, first, last, held in late.iter_rows()
        if ((held or last) - first).days > LATE_DAYS
    ]
