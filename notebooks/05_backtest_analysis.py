# %% [markdown]
# # Backtest analysis
#
# What each book earned out of sample and net of costs, what it paid, where the return came from, and whether it is
# more than luck. The report has the same tables with words; here they can be cut differently.

# %%
import plotly.graph_objects as go
import polars as pl

from quant_assets.stored_lab import open_lab
from quant_core.report.series import BENCHMARK_KEY, drawdowns, growth, wide_returns

lab = open_lab()
metrics = lab.part("backtest", "metrics").sort("sharpe_ann", descending=True, nulls_last=True)
metrics.select(
    "strategy",
    "first_date",
    "last_date",
    "cagr",
    "volatility_ann",
    "sharpe_ann",
    "max_drawdown",
    "turnover_ann",
    "cost_ann",
)

# %% [markdown]
# ## Growth and fall

# %%
daily, benchmark = lab.part("backtest", "daily"), lab.part("backtest", "benchmark")
value = growth(wide_returns(daily, benchmark)).rename({BENCHMARK_KEY: "index"})
shown = ["index", *metrics.filter(pl.col("strategy") != "benchmark")["strategy"].head(6)]
equity = go.Figure([go.Scatter(x=value["date"], y=value[name], name=name) for name in shown])
equity.update_layout(title="One rupee in the index and in the six books of the highest Sharpe ratio", yaxis_type="log")
equity

# %%
fall = drawdowns(value)
under_water = go.Figure([go.Scatter(x=fall["date"], y=fall[name], name=name) for name in shown])
under_water.update_layout(title="Fall since the highest value so far", yaxis_tickformat=".0%")
under_water

# %% [markdown]
# ## What trading costs
#
# One-way turnover a year against the cost a year. A book far to the right needs a strong signal to pay for itself.
# Each point says its name when it is pointed at.

# %%
books = metrics.filter(pl.col("cost_ann").is_not_null())
paid = go.Figure(
    go.Scatter(
        x=books["turnover_ann"],
        y=books["cost_ann"],
        text=books["strategy"],
        mode="markers",
    )
)
paid.update_layout(title="Turnover a year and cost a year", yaxis_tickformat=".1%")
paid

# %%
costs = lab.part("backtest", "costs").group_by("kind").agg(pl.col("cost_inr").sum()).sort("cost_inr", descending=True)
costs

# %% [markdown]
# ## At twice and three times the cost, a day later, with more capital

# %%
sensitivity = lab.part("backtest", "sensitivity")
sensitivity.pivot(on=["scenario", "level"], index="strategy", values="sharpe_ann")

# %% [markdown]
# ## Where the return came from
#
# Parts of the return over the benchmark a year, with bootstrap intervals.

# %%
attribution = lab.part("backtest", "attribution").filter(pl.col("strategy").is_in(shown))
parts = [
    go.Bar(x=rows["strategy"], y=rows["return_ann"], name=str(component))
    for (component,), rows in attribution.partition_by("component", as_dict=True, maintain_order=True).items()
]
sources = go.Figure(parts)
sources.update_layout(title="Parts of the return a year", barmode="relative", yaxis_tickformat=".0%")
sources

# %% [markdown]
# ## Luck
#
# The deflated Sharpe ratio is the probability that the true one is above what the best of all tries would show
# without skill.

# %%
significance = lab.part("backtest_report", "significance").sort("deflated_sharpe", descending=True, nulls_last=True)
significance.select(
    "strategy",
    "n_sessions",
    "n_trials",
    "n_clusters",
    "sharpe_ann",
    "sharpe_low_ann",
    "sharpe_high_ann",
    "deflated_sharpe",
)

# %% [markdown]
# ## Trips
#
# A name held without a gap, from the first purchase until nothing is left.

# %%
trips = lab.part("backtest", "trips").drop_nulls("exit_date")
trips.group_by("strategy").agg(
    trips=pl.len(),
    won=(pl.col("pnl_inr") > 0).mean(),
    mean_return=pl.col("simple_return").mean(),
    best=pl.col("simple_return").max(),
    worst=pl.col("simple_return").min(),
    sessions=pl.col("n_sessions").mean(),
).sort("strategy")
