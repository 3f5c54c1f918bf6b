"""What each book earned by market, sector, size, signal, costs and luck: its active return, daily in parts that add up.

The parts of the names' returns are in `measures.return_split`; here a book's weights at the close before multiply them:

    market   (sum w beta - sum w) (b - c)    what is invested moves more or less than the index
    size     sum w k + sum w z f             the average member against the index, which weighs by size, and the tilt
    sector   sum w s                         more of some sectors than the members have by number
    signal   sum w x q                       more of what the book's own model scores highly
    luck     sum w e                         what no part explains
    cash     interest - (1 - sum w) b        what is not invested earns interest instead of the index
    trading  the rest                        from the fill to the close, what a name's end paid, dividends that an
                                             index traded by its price does not have
    cost     - cost                          as booked

Sum: the book's return less the benchmark's. A book without a model has no signal: what it chooses is luck until another
part says otherwise. A beta is 1 until 63 sessions of the test are known, and that of an index.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_core import dense
from quant_core.calendar import SESSIONS_PER_YEAR
from quant_core.dense import Floats
from quant_core.measures.joint_bootstrap import mean_intervals
from quant_core.measures.known_days import known_days
from quant_core.measures.return_split import (
    ReturnSplit,
    split_returns,
    trailing_volatility,
    transfer_coefficients,
)
from quant_core.schema import COMPONENTS, EQUITY, Attribution, TransferCoefficients, table_of, validate

SEED = 7
SIZE_SESSIONS = 21  # that traded value is averaged over
UNKNOWN = "unknown"


@dataclass(frozen=True, eq=False)
class Earned:
    """What is known of the sessions on which the benchmark is known: T of them, N names.

    Args:
        days, names: (T,) sessions and (N,) tickers with a price, ascending.
        benchmark, cash: (T,) returns.
        split: parts of the names' returns.
        stock: (N,) whether a name is a stock; else it is an index.
        scores: model -> (T, N) score at the close before; NaN for none.
        volatility: (T, N) known at the close before.
    """

    days: pl.Series
    names: pl.Series
    benchmark: Floats
    cash: Floats
    split: ReturnSplit
    stock: NDArray[np.bool_]
    scores: Mapping[str, Floats]
    volatility: Floats


def attribution(
    daily: pl.DataFrame, positions: pl.DataFrame, benchmark: pl.DataFrame, prices: pl.DataFrame,
    forecasts: pl.DataFrame, sectors: pl.DataFrame,
) -> tuple[pl.DataFrame, pl.DataFrame]:  # fmt: skip
    """Attribution and TransferCoefficients of every book.

    Args:
        daily, positions, benchmark: BacktestDaily, BacktestPositions, BenchmarkReturns.
        prices: CleanPrices of the sessions of the test.
        forecasts: Forecasts; a book follows the model that its name ends in.
        sectors: columns ticker, sector.
    Returns:
        both empty where fewer than two sessions have a benchmark.
    """
    books: dict[str, pl.DataFrame] = {}
    transfers = []
    if known_days(benchmark).height > 1:
        earned = earned_of(benchmark, prices, forecasts, sectors)
        held = positions.partition_by("strategy", as_dict=True)
        for (name,), book in sorted(daily.partition_by("strategy", as_dict=True).items()):
            model = followed_model(str(name), list(earned.scores))
            weight = weights_of(earned, held.get((name,), positions.clear()))
            books[str(name)] = components(earned, book, weight, model)
            transfers += _transfer(str(name), earned, weight, model)
    where, remedy = "attribution", "report this as a bug."
    table = table_of(Attribution, _summaries(books)).sort("strategy", "component")
    return (
        validate(table, Attribution, where, remedy),
        validate(table_of(TransferCoefficients, transfers).sort("strategy"), TransferCoefficients, where, remedy),
    )


def followed_model(strategy: str, models: Sequence[str]) -> str | None:
    """The longest model name that a book's name ends in."""
    return max((name for name in models if strategy.endswith(f"_{name}")), key=len, default=None)


def earned_of(benchmark: pl.DataFrame, prices: pl.DataFrame, forecasts: pl.DataFrame, sectors: pl.DataFrame) -> Earned:
    """The parts of every name's returns on the sessions on which the benchmark is known."""
    known = known_days(benchmark).sort("date")
    days, index, cash = (known[name] for name in ("date", "simple_return_1d", "risk_free_return_1d"))
    rows = prices.filter(pl.col("date").is_in(days.implode())).with_columns(
        traded=pl.coalesce("turnover_inr", pl.col("close_inr") * pl.col("volume_shares")),
        belongs=(pl.col("is_member") & ~pl.col("is_filled")).cast(pl.Float64),
    )
    names = rows["ticker"].unique().sort()
    cells = dense.cells(rows, days, names, "attribution")
    returned, belongs, traded = (cells.floats(rows[name]) for name in ("total_return_1d", "belongs", "traded"))
    stock = np.zeros(len(names), dtype=np.bool_)
    stock[cells.column] = (rows["instrument"] == EQUITY).to_numpy()
    member = (before(belongs) == 1.0) & ~np.isnan(returned) & stock
    plain, b, c = np.nan_to_num(returned), index.to_numpy(), cash.to_numpy()
    split = split_returns(plain, b, c, member, groups_of(names, sectors), before(_recent(traded)))
    split = replace(
        split,
        beta=np.where(stock, split.beta, 1.0),
        sector=np.where(stock, split.sector, 0.0),
        rest=np.where(stock, split.rest, 0.0),
    )
    volatility = trailing_volatility(plain, ~np.isnan(returned))
    return Earned(days, names, b, c, split, stock, _scores(forecasts, days, names), volatility)


def weights_of(earned: Earned, positions: pl.DataFrame) -> Floats:
    """(T, N) weights at the close before of one book's BacktestPositions; 0 for what is not held."""
    rows = positions.filter(pl.col("date").is_in(earned.days.implode()))
    cells = dense.cells(rows, earned.days, earned.names, "attribution positions")
    return np.nan_to_num(before(cells.floats(rows["weight"])))


def components(earned: Earned, book: pl.DataFrame, weight: Floats, model: str | None) -> pl.DataFrame:
    """`date`, a column a part of COMPONENTS, and `active`, their sum, of one book.

    Args:
        book: BacktestDaily of the book.
        weight: (T, N) at the close before.
        model: whose scores it follows; None for none.
    Returns:
        a row a session after the book's first on which the benchmark is known.
    """
    own = earned.days.to_frame("date").join(book, on="date", how="left", maintain_order="left")
    net, cost, interest, equity = (
        own[name].to_numpy() for name in ("simple_return_1d", "cost_inr", "interest_inr", "equity_inr")
    )
    last = before(equity[:, None])[:, 0]
    split, over = earned.split, earned.benchmark - earned.cash
    invested, rest = weight.sum(axis=1), (weight * split.rest).sum(axis=1)
    signal = np.zeros(len(over))
    if model is not None:
        exposure, slope = split.by_score(earned.scores[model])
        signal = (weight * exposure).sum(axis=1) * slope
    in_stocks = (weight * earned.stock).sum(axis=1)
    parts = {
        "market": ((weight * split.beta).sum(axis=1) - invested) * over,
        "size": in_stocks * split.common + (weight * split.size).sum(axis=1) * split.size_return,
        "sector": (weight * split.sector).sum(axis=1),
        "signal": signal,
        "luck": rest - signal,
        "cash": interest / last - (1.0 - invested) * earned.benchmark,
        "cost": -cost / last,
    }
    active = net - earned.benchmark
    parts["trading"] = active - sum(parts.values())
    held = ~np.isnan(active) & ~np.isnan(last)
    table = pl.DataFrame({"date": earned.days, **{name: parts[name] for name in COMPONENTS}, "active": active})
    return table.filter(pl.Series(held))


def before(values: Floats) -> Floats:
    """(T, N) the row before; NaN in the first."""
    return np.vstack([np.full((1, values.shape[1]), np.nan), values[:-1]])


def groups_of(names: pl.Series, sectors: pl.DataFrame) -> NDArray[np.int64]:
    """(N,) number of each name's sector; those without one are a sector of their own."""
    listed = sectors.select("ticker", pl.col("sector").cast(pl.String)).unique("ticker", keep="first")
    named = names.to_frame("ticker").join(listed, on="ticker", how="left", maintain_order="left")
    return named["sector"].fill_null(UNKNOWN).rank("dense").to_numpy().astype(np.int64) - 1


def _recent(traded: Floats) -> Floats:
    """(T, N) mean of the known values of the last SIZE_SESSIONS rows; NaN for none."""
    frame = pl.DataFrame(traded, nan_to_null=True)
    return frame.select(pl.all().rolling_mean(SIZE_SESSIONS, min_samples=1)).fill_null(np.nan).to_numpy()


def _scores(forecasts: pl.DataFrame, days: pl.Series, names: pl.Series) -> dict[str, Floats]:
    """Model -> (T, N) score of the close before."""
    inside = pl.col("date").is_in(days.implode()) & pl.col("ticker").is_in(names.implode())
    found = {}
    for (model,), rows in sorted(forecasts.filter(inside).partition_by("model", as_dict=True).items()):
        found[str(model)] = before(dense.cells(rows, days, names, f"forecasts of {model}").floats(rows["score"]))
    return found


def _summaries(books: Mapping[str, pl.DataFrame]) -> list[tuple[str, str, float, float, float]]:
    """Rows of Attribution: means a year and their intervals; books of the same sessions are resampled together."""
    names, by_span = (*COMPONENTS, "active"), dict[tuple[object, ...], list[str]]()
    for strategy, days in books.items():
        if days.height:
            by_span.setdefault((days["date"][0], days.height), []).append(strategy)
    rows = []
    for alike in by_span.values():
        values = np.hstack([books[strategy].select(names).to_numpy() for strategy in alike])
        ends = (part * SESSIONS_PER_YEAR for part in (values.mean(axis=0), *mean_intervals(values, SEED)))
        labels = [(strategy, name) for strategy in alike for name in names]
        rows += [(*label, *map(float, row)) for label, row in zip(labels, zip(*ends, strict=True), strict=True)]
    return rows  # type: ignore[return-value]


def _transfer(strategy: str, earned: Earned, weight: Floats, model: str | None) -> list[tuple[str, str, int, float]]:
    """The row of TransferCoefficients of a book that follows a model, over the sessions on which it holds anything."""
    if model is None:
        return []
    found = transfer_coefficients(weight, earned.scores[model], earned.volatility, earned.split.member)
    known = found[(weight > 0.0).any(axis=1) & ~np.isnan(found)]
    return [(strategy, model, len(known), float(known.mean()) if len(known) else np.nan)]
