"""What the page, MLflow and the check say of regimes judged, from tables by hand."""

from datetime import date
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from quant_assets.assets.evaluation import traded_labels
from quant_assets.assets.regime_quality import measures, of_methods, shown
from quant_assets.checks.declared import checks_of, judge
from quant_assets.storage.table_files import table_files
from quant_core.regimes.validation import RegimeTables
from quant_core.schema import (
    RegimeAgreement,
    RegimeAlarms,
    RegimeRecall,
    RegimeStability,
    RegimeStatistics,
    RegimeSummary,
)

DAY = date(2020, 3, 2)


def table(schema: Any, *rows: tuple[Any, ...]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=schema.create_empty().schema, orient="row")


def statistics(*rows: tuple[str, str, float, float]) -> pl.DataFrame:
    """Method, regime, volatility, drawdown."""
    return table(RegimeStatistics, *((m, r, 50, 0.5, 0.1, v, d, 2, 25.0) for m, r, v, d in rows))


FOUND = RegimeTables(
    recall=table(
        RegimeRecall,
        ("hmm", "storm", DAY, DAY, "a storm", 30, 0.6, 0.8, 2), ("hmm", "gale", DAY, DAY, "a gale", 10, 0.2, 0.4, 5),
        ("jump", "storm", DAY, DAY, "a storm", 30, 0.0, 0.1, None),
    ),
    alarms=table(RegimeAlarms, ("hmm", DAY, 18, "storm", -0.2, False), ("hmm", date(2021, 3, 1), 4, None, -0.01, True)),
    statistics=statistics(("hmm", "Bear", 0.2, -0.1), ("hmm", "Crisis", 0.4, -0.3), ("jump", "Bear", 0.2, -0.1)),
    summary=table(
        RegimeSummary, ("hmm", 100, 0.22, 12.6, 2, 1, 0.5, True), ("jump", 100, 0.0, 3.0, 0, 0, None, None)
    ),
    agreement=table(RegimeAgreement, ("hmm", "jump", 100, 0.7, 0.3)),
)  # fmt: skip
STABILITY = table(
    RegimeStability,
    ("hmm", "2021", "2020", 500, 0.9, 4, 4, 1.0), ("hmm", "2022", "2021", 750, 0.8, 4, 4, 0.75),
)  # fmt: skip


def test_measures_are_of_every_method_and_leave_out_what_is_unknown() -> None:
    assert measures(FOUND, STABILITY) == pytest.approx({
        "hmm.crisis_share": 0.22, "hmm.switches_ann": 12.6, "hmm.false_alarms_ann": 0.5,
        "hmm.stress_recall": (0.6 * 30 + 0.2 * 10) / 40, "hmm.equal_share": 0.85, "hmm.names_kept_share": 0.875,
        "jump.crisis_share": 0.0, "jump.switches_ann": 3.0, "jump.stress_recall": 0.0,
    })  # fmt: skip


def test_refits_of_a_method_are_counted_by_whether_every_name_was_kept() -> None:
    assert of_methods(STABILITY).rows() == [("hmm", 2, pytest.approx(0.85), 0.875, 1)]


def test_the_page_shows_every_method_and_the_names_of_the_traded_one() -> None:
    page = {name: getattr(value, "value", value) for name, value in shown(FOUND, STABILITY, "hmm").items()}
    assert "| hmm | storm | 30 | 60.0\u202f% | 80.0\u202f% | 2 |" in page["recall"]
    assert "| jump | storm | 30 | 0.0\u202f% | 10.0\u202f% |  |" in page["recall"]
    assert page["statistics"].count("\n") == 3  # a head, its line, two names
    assert page["alarms"].count("2021-03-01") == 1
    assert page["traded_method"] == "hmm"
    assert page["stress_labelled_crisis"].startswith("![")
    empty = RegimeTables(*(found.clear() for found in FOUND))
    assert shown(empty, STABILITY.clear(), "hmm")["recall"].value == "none"


def verdict(found: pl.DataFrame, traded: str = "hmm") -> Any:
    lab = SimpleNamespace(profile=SimpleNamespace(regime_method=traded))
    stored: Any = SimpleNamespace(name="2021", files=table_files(statistics=found), of=SimpleNamespace(lab=lab))
    (check,) = [one for one in checks_of("regime_quality") if one.name == "crisis_is_worst"]
    return judge([check], [stored])["crisis_is_worst"]["2021"]


def test_the_check_wants_the_traded_methods_crisis_to_be_the_wildest_and_the_deepest() -> None:
    good = verdict(FOUND.statistics)
    assert good.passed
    assert (good.metadata["hmm"], good.metadata["jump"]) == ("yes", "no session was labelled Crisis")
    assert verdict(FOUND.statistics, traded="jump").passed
    for volatility, drawdown in ((0.1, -0.3), (0.4, -0.05)):
        bad = verdict(statistics(("hmm", "Bear", 0.2, -0.1), ("hmm", "Crisis", volatility, drawdown)))
        assert not bad.passed
        assert bad.severity.value == "WARN"
        assert bad.metadata["hmm"] == "no"


def test_labels_of_one_method_are_taken_for_forecasts() -> None:
    rows = pl.LazyFrame({"date": [DAY, DAY], "method": ["hmm", "jump"], "regime": ["Crisis", "Bear"]})
    assert traded_labels(rows, "jump", pl.lit(True)).rows() == [(DAY, "Bear")]
