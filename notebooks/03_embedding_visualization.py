# %% [markdown]
# # Embeddings
#
# What the masked encoder says of each name and day, in two dimensions. In a profile without an encoder the same
# pictures are drawn of the normalised features: what the encoder has to be better than.
#
# Columns of two folds are not comparable, so one fold is shown: the newest.

# %%
import numpy as np
import plotly.graph_objects as go
import polars as pl

from quant_assets.stored_lab import open_lab

lab = open_lab()
if "embeddings" in lab.assets:
    table = lab.table("embeddings")
    table = table.filter(pl.col("fold") == table["fold"].max())
    axes = [name for name in table.columns if name.startswith("embedding_")]
    what = f"embeddings of fold {table['fold'][0]}"
else:
    months = lab.partitions("features")[-12:]
    table = lab.table("features", months[0], months[-1]).filter("is_eligible")
    scaled = [name for name in table.columns if name.endswith(("_z252", "_wz252", "_rank")) or "_z" in name]
    axes = [name for name in scaled if table[name].null_count() < 0.1 * table.height]
    what = "normalised features (this profile has no encoder)"
print(f"{what}: {table.height:,} rows, {len(axes)} columns")

# %% [markdown]
# ## Two directions of most variance
#
# Principal components of all rows of the fold. The colour is the name's volatility of a month: an encoder that
# learned anything of risk shows it as a gradient.

# %%
values = table.select(pl.col(axes).fill_nan(None).fill_null(0.0)).to_numpy().astype(float)
centred = values - values.mean(axis=0)
_, sizes, directions = np.linalg.svd(centred, full_matrices=False)
share = sizes**2 / (sizes**2).sum()
shown = table.select("date", "ticker").with_columns(
    first=pl.Series(centred @ directions[0]), second=pl.Series(centred @ directions[1])
)
volatility = lab.scan("features").select("date", "ticker", "realized_vol_21d_ann").collect()
shown = shown.join(volatility, on=["date", "ticker"], how="left", maintain_order="left")
some = shown.sample(min(shown.height, 4000), seed=0)
cloud = go.Figure(
    go.Scattergl(
        x=some["first"],
        y=some["second"],
        mode="markers",
        text=some["ticker"] + some["date"].dt.to_string(" %Y-%m-%d"),
        marker={
            "size": 4,
            "color": some["realized_vol_21d_ann"],
            "cmax": some["realized_vol_21d_ann"].quantile(0.98),
            "cmin": 0.0,
            "showscale": True,
            "colorbar": {"title": "volatility"},
        },
    )
)
cloud.update_layout(title=f"{what}: {share[0]:.0%} and {share[1]:.0%} of the variance", height=650)
cloud

# %% [markdown]
# ## The market's way
#
# The mean over all names of a day. Sessions that lie apart are days on which the whole market looked different.

# %%
market = shown.group_by("date").agg(pl.col("first", "second").mean()).sort("date")
way = go.Figure(
    go.Scatter(
        x=market["first"],
        y=market["second"],
        mode="lines+markers",
        text=market["date"].dt.to_string("%Y-%m-%d"),
        marker={"size": 5, "color": market["date"].rank().to_list(), "colorscale": "Viridis"},
        line={"width": 0.5},
    )
)
way.update_layout(title="Mean of all names by session, early dark, late bright", height=600)
way

# %% [markdown]
# ## Who is like whom
#
# The names nearest to each on the newest day, by the cosine of what is said of them.

# %%
newest = table["date"].max()
rows = table["date"] == newest
names = table.filter(rows)["ticker"].to_list()
unit = centred[rows.to_numpy()]
unit = unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
cosine = unit @ unit.T
np.fill_diagonal(cosine, -np.inf)
nearest = np.argsort(-cosine, axis=1)[:, :3]
neighbours = pl.DataFrame(
    {
        "ticker": names,
        "nearest": [", ".join(names[n] for n in row if n != place) for place, row in enumerate(nearest)],
        "cosine": cosine.max(axis=1),
    }
)
neighbours.sort("cosine", descending=True)
