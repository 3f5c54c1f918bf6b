"""The signature of a register: it moves with what was returned, not only with what was tried."""

from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from upath import UPath

from quant_assets.experiments import trials
from quant_core.calendar import sessions

DAYS = sessions(date(2020, 1, 1), date(2020, 12, 31))
BENCHMARK = pl.DataFrame({"date": DAYS, "risk_free_return_1d": 0.0002})


def book(n_days: int, seed: int = 1) -> pl.DataFrame:
    returns = np.random.default_rng(seed).normal(0.0005, 0.01, len(DAYS))[:n_days]
    returns[0] = 0.0
    return pl.DataFrame({"date": DAYS[:n_days], "strategy": "a", "simple_return_1d": returns})


@pytest.fixture
def root(tmp_path: Path) -> UPath:
    return UPath(tmp_path)


def test_a_history_that_grew_under_the_same_name_is_another_signature(root: UPath) -> None:
    trials.register(root, "demo", book(150), BENCHMARK)
    names, early, before = names_of(root), signed(root, DAYS[120]), signed(root, DAYS[-1])
    trials.register(root, "demo", book(200), BENCHMARK)
    assert names_of(root) == names
    assert signed(root, DAYS[-1]) != before
    assert signed(root, DAYS[120]) == early  # a report of an earlier day counts what it counted


def test_registers_with_other_returns_or_other_cash_sign_differently(root: UPath) -> None:
    signatures = set()
    for number, (returns, cash) in enumerate([(0.0, 0.0002), (1e-6, 0.0002), (0.0, 0.0003)]):
        last = pl.col("date") == DAYS[149]
        table = book(150).with_columns(
            simple_return_1d=pl.col("simple_return_1d") + pl.when(last).then(returns).otherwise(0.0)
        )
        place = root / str(number)
        trials.register(place, "demo", table, BENCHMARK.with_columns(risk_free_return_1d=pl.lit(cash)))
        signatures.add(signed(place, DAYS[-1]))
    assert len(signatures) == 3


def names_of(root: UPath) -> list[str]:
    return trials.load(root, "demo")["trial"].unique().sort().to_list()


def signed(root: UPath, until: date) -> str:
    return trials.signature(root, "demo", until)
