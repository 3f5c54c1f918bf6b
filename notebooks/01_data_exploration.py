# %% [markdown]
# # Data exploration
#
# What the lab has stored of the market, how complete it is, what was wrong with it and what returns look like.
# `open_lab()` reads the profile that `QUANT_PROFILE` names, else `demo`.

# %%
import plotly.graph_objects as go
import polars as pl

from quant_assets.stored_lab import open_lab

lab = open_lab()
pl.DataFrame(
    [(asset, names[0], names[-1], len(names)) for asset, names in lab.assets.items()],
    schema=["asset", "first", "last", "partitions"],
    orient="row",
)

# %% [markdown]
# ## How many stocks have a price of their own
#
# A filled row carries the last price forward. It keeps a book valued, but nothing can be traded at it.

# %%
prices = lab.table("clean_prices")
stocks = prices.filter(pl.col("instrument") == "equity")
daily = (
    stocks.group_by("date")
    .agg(
        members=pl.col("is_member").sum(),
        priced=(pl.col("is_member") & ~pl.col("is_filled")).sum(),
        tradable=(pl.col("is_member") & pl.col("is_tradable")).sum(),
    )
    .sort("date")
)
coverage = go.Figure([go.Scatter(x=daily["date"], y=daily[name], name=name) for name in daily.columns[1:]])
coverage.update_layout(title="Members of the universe a session", yaxis_title="stocks")
coverage

# %% [markdown]
# ## What was wrong with the rows
#
# Cleaning marks a defect instead of hiding it; the marks are in `flags`, several joined by "|".

# %%
defects = (
    prices.filter(pl.col("flags") != "")
    .select("ticker", defect=pl.col("flags").str.split("|"))
    .explode("defect")
    .group_by("defect")
    .agg(rows=pl.len(), names=pl.col("ticker").n_unique())
    .sort("rows", descending=True)
)
defects

# %% [markdown]
# ## One-day total returns
#
# The tails are what a normal distribution of the same width would not have: the kurtosis of a normal is 0 here.

# %%
returns = stocks.filter(pl.col("total_return_1d").is_not_null(), ~pl.col("is_filled"))
one_day = pl.col("total_return_1d")
by_name = (
    returns.group_by("ticker")
    .agg(
        sessions=pl.len(),
        return_ann=one_day.mean() * 252,
        volatility_ann=one_day.std() * 252**0.5,
        skewness=one_day.skew(),
        excess_kurtosis=one_day.kurtosis(),
        worst=one_day.min(),
        best=one_day.max(),
    )
    .sort("volatility_ann", descending=True)
)
by_name

# %%
histogram = go.Figure(go.Histogram(x=returns["total_return_1d"], nbinsx=120, histnorm="probability"))
histogram.update_layout(title="One-day total returns, all stocks", xaxis_tickformat=".0%", yaxis_type="log")
histogram

# %% [markdown]
# ## The largest moves
#
# A jump that nobody can explain may be a split that no list knows: `quant actions` shows the evidence for those.

# %%
jumps = returns.select(
    "date", "ticker", "close_inr", "total_return_1d", "dividend_return_1d", "flags", size=one_day.abs()
).top_k(15, by="size")
jumps.drop("size")

# %% [markdown]
# ## Who is traded
#
# Turnover decides how much capital a book can hold.

# %%
turnover_crore = pl.col("turnover_inr").fill_null(pl.col("close_inr") * pl.col("volume_shares")) / 1e7
traded = stocks.group_by("ticker").agg(median_crore_a_day=turnover_crore.median()).sort("median_crore_a_day")
liquidity = go.Figure(go.Bar(x=traded["median_crore_a_day"], y=traded["ticker"], orientation="h"))
liquidity.update_layout(title="Median turnover a day, crore rupees", xaxis_type="log")
liquidity
