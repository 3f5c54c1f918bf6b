# %% [markdown]
# # Feature analysis
#
# Which features have values, which say the same, and how each alone ranked the returns that followed.
#
# Everything here is measured on the training window of one fold, by its own labels. The years that judge the models
# are not touched: whoever picks features by their result there has tested on them, and the register of trials does
# not know it.

# %%
import re

import numpy as np
import plotly.graph_objects as go
import polars as pl

from quant_assets.stored_lab import open_lab
from quant_core.measures.information_coefficient import rank_ic_by_date
from quant_core.measures.newey_west import newey_west_t
from quant_core.schema import CHANNEL_PREFIX, STATIC_PREFIX

lab = open_lab()
fold = lab.partitions("training_window")[-1]
labels = lab.part("training_window", "labels", fold)
horizon = labels["horizon_sessions"].min()
labels = labels.filter(pl.col("horizon_sessions") == horizon)
features = lab.table("features", f"{labels['date'].min():%Y-%m}", f"{labels['date'].max():%Y-%m}")
features = features.filter("is_eligible").join(labels.select("date", "ticker"), on=["date", "ticker"], how="semi")
print(f"fold {fold}: {labels['date'].min()} to {labels['date'].max()}, labels over {horizon} sessions")

# %% [markdown]
# ## Which columns there are
#
# Raw columns; beside most stands a normalised twin (`_z252` and the like). Channels are what networks read.

# %%
TWIN = re.compile(r"_w?z\d+$|_rank$")
floats = [name for name, dtype in features.schema.items() if dtype.is_float() and not TWIN.search(name)]
raw = [name for name in floats if not name.startswith((CHANNEL_PREFIX, STATIC_PREFIX))]
filled = features.select(pl.col(raw).is_not_null().mean()).unpivot(variable_name="feature", value_name="share_known")
filled = filled.sort("share_known")
filled.head(15)

# %% [markdown]
# ## How much alike they are
#
# Spearman's correlation over all rows, features put beside their likes. What is bright off the diagonal is one bet
# under two names: linear models share its weight, permutation importance shows neither.

# %%
known = [name for name in raw if features[name].null_count() < features.height and features[name].n_unique() > 1]
ranks = features.select(pl.col(known).rank() / pl.col(known).count()).fill_null(0.5)
alike = np.nan_to_num(np.corrcoef(ranks.to_numpy().T))
order = np.argsort(np.linalg.eigh(alike)[1][:, -1])
names = [known[n] for n in order]
matrix = go.Figure(go.Heatmap(z=alike[np.ix_(order, order)], x=names, y=names, zmid=0, colorscale="RdBu"))
matrix.update_layout(title="Rank correlation of features", height=900, width=950)
matrix

# %% [markdown]
# ## How each alone ranks what follows
#
# Mean rank IC by day, with Newey-West's t for labels that overlap. With this many features some t above 2 are luck:
# of a hundred without any worth about five.

# %%
long = features.unpivot(known, index=["date", "ticker"], variable_name="model", value_name="score").drop_nulls()
forward = labels.select("date", "ticker", pl.col("forward_return").alias(f"forward_return_{horizon}d"))
daily = rank_ic_by_date(long, forward)
measured = []
for (name,), rows in daily.sort("date").partition_by("model", as_dict=True).items():
    mean, t = newey_west_t(rows["rank_ic"], horizon_sessions=horizon)
    measured.append((name, rows.height, mean, rows["rank_ic"].mean() / rows["rank_ic"].std(), t))
ranking = pl.DataFrame(measured, schema=["feature", "dates", "mean_rank_ic", "icir", "t"], orient="row")
ranking = ranking.sort(pl.col("mean_rank_ic").abs(), descending=True)
ranking.head(25)

# %%
top = ranking.head(25).reverse()
bars = go.Figure(go.Bar(x=top["mean_rank_ic"], y=top["feature"], orientation="h"))
bars.update_layout(title=f"Mean rank IC over {horizon} sessions, training window of fold {fold}", height=700)
bars

# %% [markdown]
# ## Does it last
#
# A feature whose sign changes by year has no sign.

# %%
by_year = (
    daily.filter(pl.col("model").is_in(ranking.head(10)["feature"].implode()))
    .group_by("model", year=pl.col("date").dt.year())
    .agg(pl.col("rank_ic").mean())
    .sort("year")
    .pivot(on="year", index="model", values="rank_ic")
    .rename({"model": "feature"})
)
by_year
