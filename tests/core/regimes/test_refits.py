"""States of one fold found again in the next: by hand, and whatever their order."""

from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_core.errors import DataError
from quant_core.regimes import refits
from quant_core.regimes.refits import Refit, aligned, refit_stability, refits_of
from quant_core.schema import RegimeStability, validate


def states(*rows: tuple[str, float | None, float | None]) -> pl.DataFrame:
    """Name, mean and volatility of one session."""
    dtypes = {"regime": pl.String, "return_ann": pl.Float64, "volatility_ann": pl.Float64}
    table = pl.DataFrame(list(rows), schema=dtypes, orient="row")
    return table.with_columns(pl.col("return_ann") * 252, pl.col("volatility_ann") * 252**0.5)


def labels(of: str, first: date = date(2020, 1, 1)) -> pl.DataFrame:
    """A letter a day."""
    return pl.DataFrame({"date": [first + timedelta(days=k) for k in range(len(of))], "regime": list(of)})


CALM = states(("Bull", 0.0006, 0.006), ("Bear", -0.0005, 0.012), ("Crisis", -0.002, 0.03))


def test_volatility_decides_and_the_mean_between_states_of_like_volatility() -> None:
    turned = states(("x", -0.001, 0.025), ("y", 0.0005, 0.007), ("z", 0.0, 0.011))
    assert aligned(CALM, turned).tolist() == [1, 2, 0]
    alike = states(("up", 0.001, 0.01), ("down", -0.001, 0.01))
    assert aligned(alike, states(("a", -0.0012, 0.0101), ("b", 0.0009, 0.0101))).tolist() == [1, 0]


def test_the_sum_is_least_where_the_nearest_first_would_not_be() -> None:
    # 0.010 is nearest to 0.011, yet then 0.012 has only 0.030 left: together 0.005 and 0.011 is not the least either
    before = states(("a", 0.0, 0.010), ("b", 0.0, 0.012))
    assert aligned(before, states(("p", 0.0, 0.011), ("q", 0.0, 0.030))).tolist() == [0, 1]
    assert aligned(before, states(("p", 0.0, 0.011), ("q", 0.0, 0.0085))).tolist() == [1, 0]


def test_fewer_states_leave_one_without_a_counterpart_and_more_leave_none() -> None:
    two = states(("Bull", 0.0006, 0.006), ("Crisis", -0.002, 0.028))
    assert aligned(CALM, two).tolist() == [0, -1, 1]
    assert aligned(two, CALM).tolist() == [0, 2]


def test_a_state_that_no_session_was_in_takes_what_is_left() -> None:
    empty = states(("Noise", None, None), ("Bull", 0.0006, 0.006), ("Crisis", -0.002, 0.03))
    assert aligned(empty, CALM).tolist() == [1, 0, 2]
    assert aligned(states(("Noise", None, None)), states(("Flat", 0.0, 0.0))).tolist() == [0]


@settings(deadline=None, max_examples=25)
@given(st.permutations(range(4)), st.integers(0, 1000))
def test_an_order_of_the_same_states_is_found(order: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    own = pl.DataFrame({"return_ann": rng.normal(0, 0.2, 4), "volatility_ann": rng.uniform(0.1, 0.5, 4)})
    assert [order[k] for k in aligned(own, own[order])] == [0, 1, 2, 3]


def test_what_a_refit_keeps_by_hand() -> None:
    later = states(("Bull", 0.0005, 0.0065), ("Transition", 0.0, 0.0125), ("Crisis", -0.0021, 0.031))
    folds = {
        "2021": {"hmm": Refit(labels("BBBCC"), CALM), "jump": Refit(labels("BB"), CALM)},
        "2022": {"hmm": Refit(labels("BBCCCCB"), later)},
        "2023": {"hmm": Refit(labels("BBCCCCB"), later[:2]), "jump": Refit(labels("BB"), CALM)},
    }
    found = refit_stability(folds)
    validate(found, RegimeStability, "stability", "")
    assert found.rows() == [
        ("hmm", "2022", "2021", 5, 4 / 5, 3, 3, 2 / 3), ("hmm", "2023", "2022", 7, 1.0, 2, 3, 2 / 3),
    ]  # fmt: skip
    assert refit_stability({}).is_empty()


def test_windows_without_a_common_session_and_folds_out_of_order() -> None:
    apart = {"2021": {"hmm": Refit(labels("BB"), CALM)}, "2022": {"hmm": Refit(labels("BB", date(2021, 1, 1)), CALM)}}
    assert refit_stability(apart).select("n_sessions", "equal_share").rows() == [(0, None)]
    with pytest.raises(DataError, match="out of order"):
        refit_stability(dict(reversed(apart.items())))


def test_a_refit_is_what_an_artifact_says_of_its_states_and_of_its_own_window(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = [{"name": "Bull", "return_ann": 0.1, "volatility_ann": 0.12}, {"name": "Crisis", "volatility_ann": 0.4}]
    states_of = {"states": [{"return_ann": -0.3, **one} for one in told]}
    facts = {"methods": {name: states_of for name in ("a", "a_embeddings")}}
    asked: list[tuple[Any, str]] = []

    def window(fitted: Any, inputs: pl.DataFrame, method: str) -> pl.DataFrame:
        asked.append((fitted, method))
        return inputs.with_columns(regime=pl.lit("Bull"))

    monkeypatch.setattr(refits, "fit_window_labels", window)
    artifact: Any = SimpleNamespace(manifest=SimpleNamespace(facts=facts))
    inputs = labels("xyz").select("date")
    found = refits_of({"2022": artifact, "2021": artifact}, inputs)
    assert {fold: list(methods) for fold, methods in found.items()} == {
        "2021": ["a", "a_embeddings"], "2022": ["a", "a_embeddings"],
    }  # fmt: skip
    assert asked == [(artifact, "a")] * 2  # every fold has an encoder of its own: embeddings are not compared
    assert found["2021"]["a"].states.rows() == [("Bull", 0.1, 0.12), ("Crisis", -0.3, 0.4)]
    assert found["2021"]["a"].labels.height == 3
    stability = refit_stability(found)
    assert stability.select("method", "n_sessions", "equal_share", "names_kept_share").rows() == [
        ("a", 3, 1.0, 1.0), ("a_embeddings", 0, None, 1.0),
    ]  # fmt: skip
