"""The counter of transitions that the backtest and the report share."""

import polars as pl
import pytest

from quant_core.measures.transitions import transitions


def test_shares_of_the_sessions_that_were_followed_in_the_asked_order() -> None:
    table = transitions(pl.Series(["a", "a", "b", "a", "c"]), ["c", "b", "a", "never"])
    share = {(a, b): x for a, b, x in table.select("regime", "next_regime", "probability").iter_rows()}
    assert [share["a", name] for name in "abc"] == pytest.approx([1 / 3] * 3)
    assert [share["b", name] for name in ("a", "b", "never")] == [1.0, 0.0, 0.0]
    assert {share[name, other] for name in ("c", "never") for other in "abc"} == {None}  # the last session, and none
    assert table["regime"].unique(maintain_order=True).to_list() == ["c", "b", "a", "never"]
    assert table["next_regime"][:4].to_list() == ["c", "b", "a", "never"]
    stay = dict(table.select("regime", "mean_duration_sessions").iter_rows())
    assert stay == {"a": 1.5, "b": 1.0, "c": 1.0, "never": None}


def test_no_label_gives_no_pair() -> None:
    assert transitions(pl.Series([], dtype=pl.String)).is_empty()
