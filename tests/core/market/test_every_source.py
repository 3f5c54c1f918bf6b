"""What is true of every registered source, whoever its vendor is."""

from datetime import timedelta
from pathlib import Path

import pytest
from source_cases import CASES, Case, certify
from yahoo_service import Yahoo

from quant_core.errors import DataError
from quant_core.market.sources import SOURCES


@pytest.fixture(params=sorted(SOURCES))
def case(request: pytest.FixtureRequest, tmp_path: Path, yahoo: Yahoo) -> Case:
    if request.param not in CASES:
        pytest.skip(f"source {request.param}: no market to ask for; add one to CASES in source_cases.py")
    return CASES[request.param](tmp_path, yahoo)


def test_rows_keep_the_contract_and_depend_on_nothing_but_the_request(case: Case) -> None:
    certify(case)


def test_the_version_stays_and_changes_when_the_rows_do(case: Case) -> None:
    before, version = case.rows(), case.version
    assert version == case.version
    now = case.change()
    after = case.source.fetch(case.tickers, case.first, case.last, now).rows
    assert not before.drop("fetched_at").equals(after.drop("fetched_at"))
    assert case.source.version(case.first, case.last, now) != version


def test_a_span_that_is_over_keeps_its_version_whenever_it_is_asked(case: Case) -> None:
    over = (case.first, case.first + timedelta(days=3))
    assert case.source.version(*over, case.now) == case.source.version(*over, case.now + timedelta(days=40))


def test_a_ticker_that_it_does_not_have_is_told_and_stops_nothing(case: Case) -> None:
    found = case.source.fetch([*case.tickers, "NOSUCH"], case.first, case.last, case.now)
    assert set(found.rows["ticker"]) == set(case.tickers)
    assert "NOSUCH" in {problem.ticker for problem in found.problems}


def test_a_span_that_ends_before_it_begins_is_refused(case: Case) -> None:
    with pytest.raises(DataError, match=f"{case.name}: start .* is after end"):
        case.source.fetch(case.tickers, case.last, case.first, case.now)


def test_bad_settings_are_refused_where_they_are_given(case: Case) -> None:
    for wrong in case.refused:
        with pytest.raises(DataError, match=case.name):
            SOURCES[case.name](**{**case.settings, **wrong})
    with pytest.raises(TypeError):
        SOURCES[case.name](**case.settings, no_such_setting=1)


def test_its_docstring_is_what_the_list_of_sources_shows(case: Case) -> None:
    assert (SOURCES[case.name].__doc__ or "").splitlines()[0].endswith((".", ";"))
