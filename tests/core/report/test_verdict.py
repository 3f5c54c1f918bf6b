"""Promotion at twice the costs, and what is said about luck."""

from collections.abc import Callable
from dataclasses import replace

import polars as pl
import pytest

from quant_core.report.inputs import ReportInput, prepare
from quant_core.report.verdict import Verdict, significance_line, verdict, verdict_table

Make = Callable[..., ReportInput]
RIVALS = {"top_n_ridge": 0.5, "equal_weight": 0.4, "buy_hold_index": 0.3, "benchmark": 0.35}


def judge(data: ReportInput, strategy: str, own: float, rivals: dict[str, float]) -> Verdict:
    """The verdict where these Sharpe ratios are those at twice the costs; at other levels everything is 9."""
    rows = [
        {"strategy": name, "scenario": "cost_multiple", "level": level, "cagr": 0.1, "sharpe_ann": sharpe}
        for name, found in ({strategy: own} | rivals).items()
        if name != "benchmark"
        for level, sharpe in ((1.0, 9.0), (2.0, found), (3.0, 9.0))
    ]
    metrics = data.metrics.filter(pl.col("strategy") != "benchmark")
    if "benchmark" in rivals:
        index = pl.DataFrame({"strategy": ["benchmark"], "sharpe_ann": [rivals["benchmark"]], "cagr": [0.08]})
        metrics = pl.concat([metrics, index], how="diagonal_relaxed")
    book = prepare(replace(data, strategy=strategy, sensitivity=pl.DataFrame(rows), metrics=metrics))
    return verdict(book)


def test_a_strategy_above_every_rival_is_promoted(make_report_input: Make) -> None:
    found = judge(replace(make_report_input(), promotion=None), "top_n_boosting", 0.51, RIVALS)
    assert (found.status, found.lost, found.absent) == ("promoted", (), ())
    assert found.line == (
        "At 2× the costs top_n_boosting has a Sharpe ratio of 0.51, above ridge (0.50), equal weight (0.40), "
        "holding the index (0.30) and the benchmark (0.35)."
    )


@pytest.mark.parametrize("rival", list(RIVALS))
def test_one_rival_that_is_not_beaten_is_enough_and_is_named(make_report_input: Make, rival: str) -> None:
    found = judge(make_report_input(), "top_n_boosting", 0.6, RIVALS | {rival: 0.6})
    assert (found.status, found.lost) == ("not promoted", (rival,))
    assert "but not above" in found.line
    assert "(0.60)." in found.line


@pytest.mark.parametrize(
    ("rivals", "status"),
    [
        ({"top_n_ridge": 0.5, "equal_weight": 0.4}, "open"),  # no index
        ({"top_n_ridge": 0.5, "equal_weight": 0.4, "benchmark": 0.3}, "promoted"),  # either index will do
        ({"top_n_ridge": 0.5, "equal_weight": 0.4, "buy_hold_index": 0.3}, "promoted"),
        ({"equal_weight": 0.4, "benchmark": 0.3}, "open"),  # no ridge
        ({"equal_weight": 0.7, "benchmark": 0.3}, "not promoted"),  # one loss is enough without ridge too
    ],
)
def test_what_is_missing_leaves_the_verdict_open(
    make_report_input: Make, rivals: dict[str, float], status: str
) -> None:
    found = judge(replace(make_report_input(), promotion=None), "top_n_boosting", 0.6, rivals)
    assert found.status == status
    assert ("There is no figure of" in found.line) == ("top_n_ridge" not in rivals or len(rivals) == 2)


def test_a_baseline_is_compared_with_the_others_but_never_promoted(make_report_input: Make) -> None:
    found = judge(make_report_input(), "top_n_ridge", 9.0, RIVALS)
    assert found.status == "baseline"
    assert found.beaten == ("equal_weight", "buy_hold_index", "benchmark")
    assert found.line.endswith("It is itself a baseline that a candidate must beat.")


def test_the_gate_takes_a_promotion_back_and_says_why(make_report_input: Make) -> None:
    data = make_report_input()
    assert data.promotion is not None
    gate = data.promotion.with_columns(reasons=pl.lit("deflated Sharpe ratio 0.71 over 3 own tries, wanted 0.95"))
    found = judge(replace(data, promotion=gate), "top_n_boosting", 0.51, RIVALS)
    assert found.status == "not promoted"
    assert found.line.endswith("not promoted all the same: deflated Sharpe ratio 0.71 over 3 own tries, wanted 0.95.")
    passed = gate.with_columns(status=pl.lit("promoted"), reasons=pl.lit(""))
    assert judge(replace(data, promotion=passed), "top_n_boosting", 0.51, RIVALS).status == "promoted"


def test_without_a_cost_stress_there_is_no_verdict(make_report_input: Make) -> None:
    found = verdict(prepare(replace(make_report_input(), sensitivity=None)))
    assert found.status == "open"
    assert found.line == "The cost stress has no row of top_n_boosting at 2× the costs to judge it by."


def test_the_table_behind_the_verdict_says_yes_or_no_a_rival(make_report_input: Make) -> None:
    data = make_report_input()
    made = verdict_table(judge(data, "top_n_boosting", 0.45, RIVALS), "top_n_boosting")
    assert [(row[0].value, row[1].value, row[3].text) for row in made.rows] == [
        ("top_n_boosting", "0.45", ""),
        ("top_n_ridge", "0.5", "no"),
        ("equal_weight", "0.4", "yes"),
        ("buy_hold_index", "0.3", "yes"),
        ("benchmark", "0.35", "yes"),
    ]
    assert made.marked == {0}


def test_the_significance_line_says_interval_trials_deflation_and_overfitting(make_report_input: Make) -> None:
    data = make_report_input()
    row = pl.col("strategy") == data.strategy
    assert data.significance is not None
    told = data.significance.with_columns(
        pl.when(row).then(0.71).otherwise("sharpe_ann").alias("sharpe_ann"),
        pl.when(row).then(-0.05).otherwise("sharpe_low_ann").alias("sharpe_low_ann"),
        pl.when(row).then(1.30).otherwise("sharpe_high_ann").alias("sharpe_high_ann"),
    )
    assert data.overfitting is not None
    families = {
        "momentum": replace(data.overfitting, pbo=0.6, n_splits=1, n_trials=3),
        data.strategy: replace(data.overfitting, pbo=0.5, n_splits=2, n_trials=4),
    }
    whole = replace(data.overfitting, pbo=0.314, n_splits=2, n_trials=5)
    found = replace(data, significance=told, overfitting=whole, overfitting_by_family=families)
    assert significance_line(prepare(found)).replace("\u202f", " ") == (
        "Sharpe ratio 0.71, 95 % bootstrap interval −0.05 to 1.30. 12 trials counted "
        "(8 shipped baselines, 4 own tries) in 7 clusters; deflated Sharpe ratio 0.55, "
        "the probability that the true one is above the 0.62 to expect from the best of so many tries without skill. "
        "Against the benchmark it is 0.41, with an information ratio of 0.48 and 0.57 by luck. "
        f"Probability of backtest overfitting 31 %, over 2 splits of 5 return histories; 50 % over the 4 variants of "
        f"{data.strategy}."
    )
    damaged = significance_line(prepare(replace(found, register_damage="entry 3 is lost")))
    assert damaged.endswith("The register of trials is damaged: entry 3 is lost.")
    assert significance_line(prepare(replace(data, significance=None, overfitting=None))) == ""
