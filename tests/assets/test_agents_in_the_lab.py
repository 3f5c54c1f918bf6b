"""Agents in a lab: what trains them, what they decide by month, what their page compares; nothing comes from later."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from lab_process import lab_environment, quant_here
from polars.testing import assert_frame_equal
from small_lab import SmallLab
from upath import UPath

from quant_assets.assets.agents import tables_of
from quant_assets.lab import Lab
from quant_assets.profile import load_profile
from quant_assets.storage.partition_files import read_artifact
from quant_core.allocation.learning.folds import REFUSED, RESPONSIVENESS, config_of, fit_policy, policy_weights
from quant_core.allocation.learning.inputs import MarketTables
from quant_core.fitted import Fitted
from quant_core.folds import fold

pytestmark = pytest.mark.slow

PROFILE = {
    "start": "2017-01", "first_fold": 2019, "train_years": 2, "end": "2021-02", "models": "[ridge]", "regimes": "[hmm]",
    "agents": "[ppo]",
}  # fmt: skip
BRIEF = {
    "total_steps": 128, "eval_every": 64, "n_steps": 64, "n_envs": 2, "batch_size": 32, "n_epochs": 1, "n_seeds": 2,
    "training_years": 2, "episode_decisions": 12,
}  # fmt: skip
SETTINGS = {
    **{f"profile.{name}": value for name, value in PROFILE.items()}, "raw_ohlcv.n_tickers": 8,
    "raw_ohlcv.start": "2017-01-01", "forecaster_ridge.importance_dates": 10,
    **{f"rl_policy_ppo.{name}": value for name, value in BRIEF.items()},
}  # fmt: skip
COMMAND = [
    "run",
    "--profile",
    "demo",
    *(part for item in SETTINGS.items() for part in ("--set", "=".join(map(str, item)))),
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> SmallLab:
    folder = tmp_path_factory.mktemp("agents")
    done = quant_here(COMMAND, lab_environment(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    return SmallLab(folder, lab_environment(folder))


def policy(lab: SmallLab, name: str) -> Fitted:
    return Fitted.from_bytes(read_artifact(UPath(lab.data / "demo" / "rl_policy_ppo" / f"{name}.json")))


def table(lab: SmallLab, asset: str) -> pl.DataFrame:
    parts = sorted((lab.data / "demo" / asset).glob("*.parquet"))
    return pl.concat([pl.read_parquet(part) for part in parts])


def settings_of(lab: SmallLab) -> Lab:
    return Lab(
        load_profile("demo", {**PROFILE, "source": {"name": "simulated", "n_tickers": 8, "start": "2017-01-01"}})
    )


def known(lab: SmallLab, last: date) -> MarketTables:
    """What an agent may know up to a day, of everything that is stored."""
    own = settings_of(lab)
    names = ("clean_prices", "target_weights", "forecasts_ridge", "regimes")
    inputs = {name: table(lab, name).lazy() for name in names}
    return tables_of(own, inputs, "ridge", config_of(policy(lab, "2021")), fold("2021", 2), last)


def test_a_fold_without_enough_years_of_forecasts_has_no_policy_and_decides_nothing(lab: SmallLab) -> None:
    assert "1 years of forecasts" in policy(lab, "2020").manifest.facts[REFUSED]
    weights = table(lab, "weights_ppo")
    assert weights["date"].min() >= date(2021, 1, 1)  # type: ignore[operator]
    assert set(weights["strategy"]) == {"ppo", "ppo_seed_0", "ppo_seed_1"}


def test_a_policy_has_seen_nothing_of_its_fold_and_says_what_moves_it(lab: SmallLab) -> None:
    fitted = policy(lab, "2021")
    assert fitted.manifest.fit_end < date(2021, 1, 1)
    assert fitted.manifest.fit_start >= date(2019, 1, 1)
    assert fitted.manifest.facts[RESPONSIVENESS].keys() >= {"forecast", "risk", "regimes", "book"}


def test_what_comes_later_changes_no_policy(lab: SmallLab) -> None:
    own, config = settings_of(lab), replace(config_of(policy(lab, "2021")), n_seeds=1, total_steps=64)
    tables = known(lab, date(2021, 2, 28))
    later = pl.col("date") >= date(2021, 1, 1)
    prices = tables.prices.with_columns(
        pl.when(later).then(0.1).otherwise("total_return_1d").alias("total_return_1d"),
        pl.when(later).then(7.0).otherwise("open_inr").alias("open_inr"),
    )
    other = replace(tables, prices=prices, forecasts=tables.forecasts.filter(~later), book=tables.book.filter(~later))
    limits, account = own.defaults("target_weights"), own.defaults("backtest")
    fits = [
        fit_policy("ppo", each, fold("2021", 2), config, limits, account, lambda epoch, values: None)
        for each in (tables, other)
    ]
    assert fits[0].content_hash == fits[1].content_hash


def test_a_month_alone_is_decided_as_in_the_range(lab: SmallLab) -> None:
    own, fitted = settings_of(lab), policy(lab, "2021")
    span = (date(2021, 2, 1), date(2021, 2, 28))
    limits, account = own.defaults("target_weights"), own.defaults("backtest")
    alone = policy_weights("ppo", fitted, known(lab, span[1]), fold("2021", 2), span, limits, account)
    stored = table(lab, "weights_ppo").filter(pl.col("date").is_between(*span))
    assert alone.height
    assert_frame_equal(alone, stored.sort("date", "strategy", "ticker"))


def test_weights_fit_an_account(lab: SmallLab) -> None:
    weights = table(lab, "weights_ppo")
    totals = weights.group_by("date", "strategy").agg(pl.col("weight").sum())
    assert totals["weight"].is_between(0.0, 1.0 + 1e-9).all()
    assert weights.filter(pl.col("ticker") != "(cash)")["weight"].max() <= 0.2 + 1e-9  # type: ignore[operator]


def test_the_page_compares_agents_with_every_other_book_and_seeds_are_no_trials(lab: SmallLab) -> None:
    folder = max((lab.data / "demo" / "rl_evaluation").glob("2021-*"))
    page = (folder / "agents.html").read_text()
    for heading in (
        "Profit",
        "Risk",
        "Diversity",
        "Reliability over seeds",
        "Universality over markets",
        "Explainability",
    ):
        assert f"<h2>{heading}</h2>" in page
    books = pl.read_parquet(folder / "books.parquet")
    assert books.filter("is_agent")["strategy"].to_list() == ["ppo"]
    assert {"equal_weight", "buffered_ridge", "benchmark", "regime_gated"} <= set(books["strategy"])
    seeds = pl.read_parquet(folder / "seeds.parquet")
    assert seeds["n_seeds"].to_list() == [2]
    entered = {path.name for path in Path(lab.data / "demo" / "trials").glob("*.parquet")}
    assert any(name.startswith("ppo-") for name in entered)
    assert not any("seed" in name for name in entered)
