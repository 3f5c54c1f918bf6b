# %% [markdown]
# # Model analysis
#
# How good each forecaster was out of sample, how sure one can be of it, what it leans on, and whether its intervals
# hold. Every figure is out of sample: a forecast of a year comes from a model that was fitted before it.

# %%
import plotly.graph_objects as go
import polars as pl

from quant_assets.stored_lab import open_lab

lab = open_lab()
models = [asset.removeprefix("forecasts_") for asset in lab.all_of("forecasts_")]
card = lab.part("forecast_quality", "scorecard")
overall = card.filter(pl.col("part") == "all", "is_own_horizon").sort("mean_rank_ic", descending=True)
overall.select(
    "model", "horizon_sessions", "n_dates", "mean_rank_ic", "nw_t", "icir", "crps_skill", "coverage_50", "coverage_90"
)

# %% [markdown]
# ## Rank IC, session by session
#
# A line that rises at one pace is a forecast that lasts; a single step is one lucky season.

# %%
quality = lab.part("backtest", "quality").sort("date")
cumulative = quality.with_columns(total=pl.col("rank_ic").cum_sum().over("model"))
lines = [
    go.Scatter(x=rows["date"], y=rows["total"], name=str(model))
    for (model,), rows in cumulative.partition_by("model", as_dict=True, maintain_order=True).items()
]
cumulated = go.Figure(lines)
cumulated.update_layout(title="Cumulative rank IC out of sample")
cumulated

# %% [markdown]
# ## By year, by size, by sector

# %%
parts = card.filter(pl.col("part") != "all", "is_own_horizon").select("model", "part", "value", "mean_rank_ic")
parts.pivot(on="model", index=["part", "value"], values="mean_rank_ic").sort("part", "value")

# %% [markdown]
# ## Do they say the same
#
# Correlation of the scores of two models by day, and Diebold-Mariano's p of the difference of their daily rank ICs.

# %%
pairs = lab.part("forecast_comparison", "pairs")
pairs.select("model", "other", "horizon_sessions", "rank_ic_gain", "dm_p", "ic_correlation", "score_correlation")

# %% [markdown]
# ## Where outcomes fell in what was said of them
#
# Ten parts that are equally probable by the model: bars above a tenth at both ends mean that it was too sure.

# %%
pit = lab.part("forecast_quality", "pit")
calibration = go.Figure(
    [
        go.Bar(x=rows["bin"], y=rows["share"], name=str(model))
        for (model,), rows in pit.partition_by("model", as_dict=True, maintain_order=True).items()
    ]
)
calibration.add_hline(y=0.1, line_dash="dot")
calibration.update_layout(title="Share of outcomes by tenth of the forecast distribution", yaxis_tickformat=".0%")
calibration

# %% [markdown]
# ## What a model leans on
#
# What its rank IC loses on the validation slice when an input belongs to other names: the same question to every
# model.

# %%
importances = [pl.DataFrame(schema={"feature": pl.String, "importance": pl.Float64, "model": pl.String})]
for asset in lab.all_of("forecaster_"):
    if "permutation_importance.parquet" in lab.files(asset):
        found = lab.part(asset, "permutation_importance")
        importances.append(found.select("feature", "importance", model=pl.lit(asset.removeprefix("forecaster_"))))
leans_on = pl.concat(importances)
leans_on.sort("importance", descending=True).head(20)

# %% [markdown]
# ## How it was fitted
#
# The manifest says what the fit could see; a network's curve what it learned an epoch.

# %%
fits = {asset: lab.fitted(asset) for asset in lab.all_of("forecaster_")}
pl.DataFrame(
    [
        (asset, found.manifest.fit_start, found.manifest.fit_end, found.manifest.n_rows, len(found.manifest.columns))
        for asset, found in fits.items()
    ],
    schema=["asset", "fit_start", "fit_end", "rows", "inputs"],
    orient="row",
)

# %%
curves = go.Figure()
for asset, found in fits.items():
    measured = [name for name in found.curve.columns if "rank_ic" in name]
    if found.curve.height and measured:
        curves.add_scatter(x=found.curve["epoch"], y=found.curve[measured[0]], name=f"{asset} {measured[0]}")
curves.update_layout(title="Rank IC of the validation slice by epoch (networks only)")
curves
