"""Numbers as a reader in India expects them: true minus, percent, lakh and crore."""

import math
from datetime import date

import pytest

from quant_core.report.formats import defused, write


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("cagr", 0.12345, "12.3 %"),
        ("max_drawdown", -0.3451, "−34.5 %"),
        ("cagr", -0.0001, "0.0 %"),
        ("sharpe_ann", 0.714, "0.71"),
        ("mean_rank_ic", -0.0123, "−0.012"),
        ("turnover_ann", 6.42, "6.4×"),
        ("n_sessions", 2228.0, "2,228"),
        ("cost_bps", 12.34, "12.3 bps"),
        ("final_equity_inr", 98_765.0, "₹98,765"),
        ("final_equity_inr", 250_000.0, "₹2.50 lakh"),
        ("final_equity_inr", 9_999_999.0, "₹1.00 crore"),
        ("cost_inr", -31_400_000.0, "−₹3.14 crore"),
        ("overfitting_probability", 0.42, "42.0 %"),
        ("n_trials", 12, "12"),
        ("deflated_sharpe", 0.555, "0.56"),
        ("cagr", None, "–"),
        ("cagr", math.nan, "–"),
        ("first_day", date(2021, 3, 1), "2021-03-01"),
        ("model", "ridge", "ridge"),
    ],
)
def test_a_value_is_written_by_the_unit_in_its_name(name: str, value: object, expected: str) -> None:
    assert write(name, value).replace("\u202f", " ") == expected


@pytest.mark.parametrize(
    "number", ["-0.5", "+3", "-1e-05", "-inf", "0.12", "", "2021-03-01", "TCS", "M&M", "^NSEI", "a=b"]
)
def test_numbers_and_plain_text_of_a_download_stay_as_they_are(number: str) -> None:
    assert defused(number) == number


@pytest.mark.parametrize(
    "formula", ["=1+1", "+1-2", "-2+3+cmd|' /C calc'!A0", "@SUM(A1)", "\t=1", " =1", "-TCS", "\uff1d1+1", "\r@x"]
)
def test_what_a_spreadsheet_would_run_becomes_text(formula: str) -> None:
    assert defused(formula) == f"'{formula}"
