"""The code location of ray_demo.py: a small simulated market, two folds, two models."""

import dagster as dg

from quant_assets.assembly import build_definitions
from quant_assets.profile import load_profile

MARKET = {
    "start": "2017-01",
    "end": "2021-06",
    "first_fold": 2020,
    "train_years": 3,
    "models": ["ridge", "boosting"],
    "regimes": [],
    "agents": [],
}
SOURCE = {"name": "simulated", "n_tickers": 12, "n_sectors": 4, "seed": 9, "start": "2017-01-01"}
FITTED = [f"forecaster_{name}" for name in MARKET["models"]]

fits = dg.define_asset_job("fits", dg.AssetSelection.assets(*(["demo", name] for name in FITTED)))
defs = dg.Definitions.merge(
    build_definitions(load_profile("demo", {**MARKET, "source": SOURCE})), dg.Definitions(jobs=[fits])
)
