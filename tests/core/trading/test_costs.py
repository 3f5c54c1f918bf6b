"""Charges by hand, by the day of their change, against published notes, and as the schedule that the ledger reads."""

import re
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_core import calendar
from quant_core.errors import DataError
from quant_core.trading import nse_charges as nse
from quant_core.trading.costs import COST_MODELS, CostSchedule, FlatCosts, NseDeliveryCosts, contract_note

DOCS = Path(__file__).parents[3] / "docs" / "costs.md"
DAYS = st.dates(date(1999, 6, 1), date(2030, 12, 31))
RUPEES = st.floats(0.0, 1e8).map(lambda value: round(value, 2))
KINDS = ("brokerage", "stt", "stamp_duty", "exchange", "sebi", "gst", "slippage")


def day(text):
    return date.fromisoformat(text)


def rates_on(text, model=None):
    """{kind: (percent on purchases, percent on sales)} of one day."""
    schedule = (model or NseDeliveryCosts()).schedule([day(text)])
    return {
        kind: (100 * schedule.buy_rate[0, k], 100 * schedule.sell_rate[0, k]) for k, kind in enumerate(schedule.kinds)
    }


# --- contract notes by hand ---


def test_a_note_of_march_2011_by_hand():
    # A full-service broker at 0.30 %, service tax 10.3 %, STT 0.125 %; purchases 1,50,000, sales 80,000.
    note = contract_note(day("2011-03-15"), [100_000, 50_000], [80_000], NseDeliveryCosts(brokerage_bps=30))
    assert note == {
        "brokerage": 690.00,  # 0.30 % of 2,30,000
        "stt": 288.0,  # 0.125 % of 2,30,000 = 287.50, half a rupee goes up
        "stamp_duty": 23.00,  # 0.01 % of 2,30,000, both sides
        "exchange": 7.48,  # 0.00325 % of 2,30,000 = 7.475
        "sebi": 0.23,  # Rs 10 a crore
        "gst": 71.84,  # 10.3 % of 690.00 + 7.48 = 71.84044; SEBI's fee bears no service tax
        "dp_charge": 14.89,  # 13.50 x 1.103 = 14.8905, one name sold
        "total": 1095.44,  # 690 + 288 + 23 + 7.48 + 0.23 + 71.84 + 14.89
    }


def test_a_note_of_july_2019_by_hand():
    # No brokerage, GST 18 %, stamp duty still on both sides; purchases 2,50,000, sales 1,95,500 in two names.
    note = contract_note(day("2019-07-15"), [250_000], [120_000, 75_500], NseDeliveryCosts())
    assert note == {
        "brokerage": 0.0,
        "stt": 446.0,  # 0.1 % of 4,45,500 = 445.50
        "stamp_duty": 44.55,  # 0.01 % of 4,45,500
        "exchange": 14.48,  # 0.00325 % of 4,45,500 = 14.47875
        "sebi": 0.45,  # Rs 10 a crore = 0.4455
        "gst": 2.61,  # 18 % of 14.48 = 2.6064; SEBI's fee is exempt until July 2022
        "dp_charge": 31.86,  # 2 x 13.50 x 1.18 = 2 x 15.93
        "total": 539.95,  # 446 + 44.55 + 14.48 + 0.45 + 2.61 + 31.86
    }


def test_a_note_of_november_2024_by_hand():
    # Stamp duty on purchases only, the uniform exchange charge; purchases 5,00,000, sales 1,50,000.
    note = contract_note(day("2024-11-06"), [300_000, 200_000], [150_000], NseDeliveryCosts())
    assert note == {
        "brokerage": 0.0,
        "stt": 650.0,  # 0.1 % of 6,50,000
        "stamp_duty": 75.00,  # 0.015 % of 5,00,000
        "exchange": 19.96,  # 0.00307 % of 6,50,000 = 19.955
        "sebi": 0.65,  # Rs 10 a crore
        "gst": 3.71,  # 18 % of 19.96 + 0.65 = 3.7098
        "dp_charge": 15.34,  # 13.00 x 1.18
        "total": 764.66,  # 650 + 75 + 19.96 + 0.65 + 3.71 + 15.34
    }


def test_a_published_note_of_2008_has_our_exchange_charge_and_service_tax():
    # ajoybarman.blogspot.com, 2009-06-23: trades of 2008-03-26 at 0.03 % brokerage. STT and stamp duty are not
    # compared, as the trades were closed the same day. The broker rounded by share, hence a few paise.
    note = contract_note(
        day("2008-03-26"), [161_600.00, 201_900.00], [166_000.00, 199_994.40], NseDeliveryCosts(brokerage_bps=3)
    )
    assert note["brokerage"] == pytest.approx(48.48 + 49.80 + 60.60 + 60.00, abs=0.05)
    assert note["exchange"] == pytest.approx(25.54, abs=0.02)
    assert note["gst"] == pytest.approx(26.27 + 0.53 + 0.26, abs=0.02)  # 12.36 % of brokerage alone, before May 2008


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 10**8), st.integers(1, 10**8))
def test_notes_of_2021_equal_the_formula_of_a_discount_brokers_calculator(buy_paise, sell_paise):
    # Zerodha's public calculator of 2021, without brokerage: turnover x 0.1 % rounded to the rupee, then each line to
    # the paisa, 18 % on the rounded exchange charge. The depository charge is not in it.
    def to(amount, unit):
        return amount.quantize(Decimal(unit), rounding=ROUND_HALF_UP)

    buy, sell = Decimal(buy_paise) / 100, Decimal(sell_paise) / 100
    stt = to((buy + sell) * Decimal("0.001"), "1")
    exchange = to((buy + sell) * Decimal("0.0000345"), "0.01")
    gst = to(Decimal("0.18") * exchange, "0.01")
    sebi = to((buy + sell) * Decimal("0.000001"), "0.01")
    stamp = to(buy * Decimal("0.00015"), "0.01")
    note = contract_note(day("2021-06-01"), [float(buy)], [float(sell)], NseDeliveryCosts(dp_charge=False))
    assert note["total"] == float(stt + exchange + gst + sebi + stamp)


# --- every rate changes on its day ---


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("stt", "2004-10-01 0.075, 2005-06-01 0.1, 2006-06-01 0.125, 2012-07-01 0.1"),
        (
            "exchange",
            "2005-04-01 0.0035, 2009-10-01 0.00325, 2021-01-01 0.00345, 2023-04-01 0.00335, 2024-04-01 0.00332, "
            "2024-10-01 0.00307",
        ),
        (
            "sebi",
            "2006-10-01 0.0002, 2009-07-01 0.0001, 2014-05-23 0.0002, 2017-04-01 0.00015, 2019-04-01 0.0001, "
            "2020-06-01 0.00005, 2021-04-01 0.0001",
        ),
    ],
)
def test_charges_on_both_sides_change_exactly_on_their_days(kind, changes):
    before = {"stt": 0.0, "exchange": 0.007, "sebi": 0.0}[kind]
    for change in changes.split(", "):
        text, percent = change.split()
        eve = (day(text) - timedelta(days=1)).isoformat()
        assert rates_on(eve)[kind] == pytest.approx((before, before), abs=1e-15)
        before = float(percent)
        assert rates_on(text)[kind] == pytest.approx((before, before), abs=1e-15)
    assert rates_on("2026-06-30")[kind] == pytest.approx((before, before), abs=1e-15)


def test_stamp_duty_moves_to_the_buyer_on_the_first_of_july_2020():
    assert rates_on("2020-06-30")["stamp_duty"] == pytest.approx((0.01, 0.01), abs=1e-15)
    assert rates_on("2020-07-01")["stamp_duty"] == pytest.approx((0.015, 0.0), abs=1e-15)


@pytest.mark.parametrize(
    ("text", "before_pct", "after_pct"),
    [
        ("2003-05-14", 5.0, 8.0),
        ("2004-09-10", 8.0, 10.2),
        ("2006-04-18", 10.2, 12.24),
        ("2007-05-11", 12.24, 12.36),
        ("2009-02-24", 12.36, 10.3),
        ("2012-04-01", 10.3, 12.36),
        ("2015-06-01", 12.36, 14.0),
        ("2015-11-15", 14.0, 14.5),
        ("2016-06-01", 14.5, 15.0),
        ("2017-07-01", 15.0, 18.0),
    ],
)
def test_the_tax_on_services_changes_exactly_on_its_days(text, before_pct, after_pct):
    for when, percent in ((day(text) - timedelta(days=1), before_pct), (day(text), after_pct)):
        # On a brokerage of 100 bps and on a depository charge of 13.50 the tax is read off.
        schedule = NseDeliveryCosts(brokerage_bps=100.0).schedule([when])
        taxed = 0.01 + (when >= date(2008, 5, 16)) * schedule.buy_rate[0, KINDS.index("exchange")]
        assert schedule.buy_rate[0, KINDS.index("gst")] == pytest.approx(percent / 100 * taxed, rel=1e-12)
        assert schedule.per_sale_inr[0] == pytest.approx(13.5 * (1 + percent / 100), rel=1e-12)


def test_the_exchange_charge_is_taxed_from_may_2008_and_sebis_fee_from_july_2022():
    assert rates_on("2008-05-15")["gst"] == (0.0, 0.0)  # no brokerage, nothing else taxed
    assert rates_on("2008-05-16")["gst"] == pytest.approx((0.1236 * 0.0035, 0.1236 * 0.0035), rel=1e-12)
    assert rates_on("2022-07-17")["gst"] == pytest.approx((0.18 * 0.00345,) * 2, rel=1e-12)
    assert rates_on("2022-07-18")["gst"] == pytest.approx((0.18 * (0.00345 + 0.0001),) * 2, rel=1e-12)


def test_tax_falls_neither_on_stt_nor_on_stamp_duty_nor_on_slippage():
    plain, slipping = rates_on("2024-11-06", NseDeliveryCosts(0.0, 0.0)), rates_on("2024-11-06")
    assert plain["gst"] == slipping["gst"] == pytest.approx((0.18 * (0.00307 + 0.0001),) * 2, rel=1e-12)


def test_the_depository_charge_falls_on_the_first_of_october_2024():
    schedule = NseDeliveryCosts().schedule([day("2024-09-30"), day("2024-10-01")])
    np.testing.assert_allclose(schedule.per_sale_inr, [15.93, 15.34], rtol=1e-12)
    np.testing.assert_array_equal(NseDeliveryCosts(dp_charge=False).schedule([day("2024-09-30")]).per_sale_inr, [0.0])


def test_days_before_the_table_are_charged_like_its_first_day():
    # STT 0, stamp 0.01, exchange 0.007 %, no SEBI fee; service tax 5 % on brokerage of 0.5 % = 0.025 %.
    early, first = (rates_on(text, NseDeliveryCosts(brokerage_bps=50)) for text in ("1997-02-03", "2000-01-03"))
    expected = {"stt": 0.0, "stamp_duty": 0.01, "exchange": 0.007, "sebi": 0.0, "gst": 0.025, "brokerage": 0.5}
    for kind, percent in expected.items():
        assert early[kind] == pytest.approx((percent, percent), abs=1e-14)
        assert early[kind] == first[kind]


@pytest.mark.parametrize("table", [nse.STT, nse.STAMP_DUTY, nse.EXCHANGE, nse.SEBI_FEE, nse.SERVICE_TAX_PCT])
def test_tables_are_in_order_with_a_source_in_every_row(table):
    first_days = [row.first_day for row in table]
    assert first_days == sorted(set(first_days))
    assert first_days[0] == date(2000, 1, 1)
    assert all(len(row.source) > 10 for row in table)


@pytest.mark.parametrize(
    ("heading", "table"),
    [
        ("Securities transaction tax", nse.STT),
        ("Stamp duty", nse.STAMP_DUTY),
        ("Exchange charge", nse.EXCHANGE),
        ("SEBI fee", nse.SEBI_FEE),
        ("Service tax and GST", nse.SERVICE_TAX_PCT),
        ("Depository charge", nse.DP_CHARGE_INR),
    ],
)
def test_the_documentation_lists_exactly_the_rows_of_the_code(heading, table):
    section = re.split(r"\n#+ ", DOCS.read_text().split(f"### {heading}\n")[1])[0]
    lines = [line for line in section.splitlines() if re.match(r"\| \d{4}-", line)]

    def percent(value):
        return f"{value:.6f}".rstrip("0").rstrip(".")

    values = [(row.buy_bps / 100, row.sell_bps / 100) if len(row) == 4 else (row.value,) for row in table]
    expected = [
        f"| {row.first_day} | {' | '.join(f'{percent(value)}' for value in numbers)} | {row.source} |"
        for row, numbers in zip(table, values, strict=True)
    ]
    assert lines == expected


# --- schedule and note agree, for any day and value ---


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(
    DAYS,
    st.lists(RUPEES, max_size=4),
    st.lists(RUPEES, max_size=4),
    st.floats(0.0, 100.0).map(lambda bps: round(bps, 3)),
)
def test_unrounded_rates_reproduce_the_note_to_its_rounding(when, purchases, sales, brokerage_bps):
    model = NseDeliveryCosts(brokerage_bps=brokerage_bps, slippage_bps=0.0)
    schedule, note = model.schedule([when]), contract_note(when, purchases, sales, model)
    rupees = sum(purchases) * schedule.buy_rate[0] + sum(sales) * schedule.sell_rate[0]
    unrounded = dict(zip(schedule.kinds, rupees, strict=True))
    n_sold = sum(value > 0 for value in sales)
    half_paisa = 0.005 + 1e-6
    for kind in ("brokerage", "stamp_duty", "exchange", "sebi"):
        assert abs(note[kind] - unrounded[kind]) <= half_paisa
    assert abs(note["stt"] - unrounded["stt"]) <= 0.5 + 1e-6
    assert abs(note["gst"] - unrounded["gst"]) <= half_paisa + 0.18 * 3 * half_paisa  # taxed on rounded lines
    assert abs(note["dp_charge"] - n_sold * schedule.per_sale_inr[0]) <= n_sold * half_paisa
    assert note["total"] == pytest.approx(sum(note[kind] for kind in note if kind != "total"), abs=1e-6)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.sets(DAYS, min_size=1, max_size=30).map(sorted))
def test_a_schedule_equals_a_look_up_day_by_day(days):
    schedule = NseDeliveryCosts(brokerage_bps=7.0).schedule(days)
    for t, when in enumerate(days):
        for kind, table in (("stt", nse.STT), ("stamp_duty", nse.STAMP_DUTY), ("exchange", nse.EXCHANGE)):
            row = table[0]
            for later in table:
                if later.first_day <= when:
                    row = later
            assert schedule.buy_rate[t, KINDS.index(kind)] == row.buy_bps * 1e-4
            assert schedule.sell_rate[t, KINDS.index(kind)] == row.sell_bps * 1e-4


def test_a_purchase_pays_no_depository_charge_and_a_day_without_trades_nothing():
    model = NseDeliveryCosts(brokerage_bps=30.0)
    assert contract_note(day("2023-06-15"), [100_000.0], [], model)["dp_charge"] == 0.0
    assert contract_note(day("2023-06-15"), [0.0], [0.0], model)["total"] == 0.0
    assert contract_note(day("2023-06-15"), [], [], model)["total"] == 0.0


def test_all_of_a_purchase_of_today_by_hand():
    # 0.1 % STT + 0.015 % stamp + 0.00307 % exchange + 0.0001 % SEBI + 18 % of the last two + 0.05 % slippage.
    schedule = NseDeliveryCosts().schedule([day("2025-01-02")])
    assert schedule.kinds == KINDS
    assert 100 * schedule.total_buy_rate[0] == pytest.approx(0.1687406, abs=1e-12)
    assert 100 * schedule.total_sell_rate[0] == pytest.approx(0.1537406, abs=1e-12)
    assert schedule.impact_coefficient == 1.0


# --- schedules ---


def test_flat_costs_are_the_same_every_session_and_on_both_sides():
    schedule = FlatCosts(10.0, 5.0, 2.5).schedule(calendar.sessions(date(2004, 9, 27), date(2004, 10, 8)))
    assert schedule.kinds == ("commission", "slippage", "spread")
    np.testing.assert_allclose(schedule.buy_rate, np.tile([0.0010, 0.0005, 0.00025], (10, 1)), rtol=1e-15)
    np.testing.assert_array_equal(schedule.sell_rate, schedule.buy_rate)
    np.testing.assert_allclose(schedule.total_buy_rate, FlatCosts(10.0, 5.0, 2.5).rate, rtol=1e-15)
    assert not schedule.per_sale_inr.any()
    assert schedule.impact_coefficient == 0.0


@pytest.mark.parametrize("model", [FlatCosts(), NseDeliveryCosts(brokerage_bps=30.0)])
def test_twice_the_cost_is_every_part_doubled(model):
    once = model.schedule(calendar.sessions(date(2020, 6, 25), date(2020, 7, 7)))
    twice, nothing = once.scaled(2.0), once.scaled(0.0)
    assert twice.kinds == once.kinds
    for name in ("buy_rate", "sell_rate", "per_sale_inr", "impact_coefficient"):
        np.testing.assert_array_equal(getattr(twice, name), 2.0 * np.asarray(getattr(once, name)))
        assert not np.any(getattr(nothing, name))


@pytest.mark.parametrize("multiple", [-1.0, float("nan"), float("inf")])
def test_a_multiple_that_cannot_be_is_refused(multiple):
    with pytest.raises(DataError, match="multiple"):
        FlatCosts().schedule([day("2020-01-01")]).scaled(multiple)


def test_a_multiple_that_leaves_a_sale_nothing_is_refused():
    schedule = FlatCosts(2500.0, 0.0, 0.0).schedule([day("2020-01-01")])
    assert schedule.scaled(3.0).total_sell_rate[0] == pytest.approx(0.75)
    with pytest.raises(DataError, match="10000 bps on sales"):
        schedule.scaled(4.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"buy_rate": np.zeros((3, 2))}, "wanted"),
        ({"sell_rate": np.zeros((2, 1))}, "wanted"),
        ({"per_sale_inr": np.zeros((2, 1))}, "wanted"),
        ({"per_sale_inr": 0.0}, "wanted"),
        ({"kinds": ("a",)}, "wanted"),
        ({"kinds": ("a", "a")}, "kinds"),
        ({"kinds": ("a", "impact")}, "kinds"),
        ({"buy_rate": np.full((2, 2), -1e-9)}, "buy_rate"),
        ({"sell_rate": np.full((2, 2), np.nan)}, "sell_rate"),
        ({"per_sale_inr": np.array([1.0, np.inf])}, "per_sale_inr"),
        ({"impact_coefficient": -0.1}, "impact_coefficient"),
        ({"impact_coefficient": float("nan")}, "impact_coefficient"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(change, message):
    parts = {
        "kinds": ("a", "b"),
        "buy_rate": np.zeros((2, 2)),
        "sell_rate": np.zeros((2, 2)),
        "per_sale_inr": np.zeros(2),
        "impact_coefficient": 0.0,
    }
    assert CostSchedule(**parts).total_buy_rate.shape == (2,)
    with pytest.raises(DataError, match=message):
        CostSchedule(**parts | change)


@pytest.mark.parametrize("name", sorted(COST_MODELS))
def test_every_model_refuses_sessions_that_are_no_calendar(name):
    model = COST_MODELS[name]()
    assert len(model.schedule([day("2020-01-01")]).per_sale_inr) == 1
    for sessions, message in (
        ([], "no sessions"),
        ([day("2020-01-02"), day("2020-01-01")], "2020-01-01 follows 2020-01-02"),
        ([day("2020-01-01"), day("2020-01-03"), day("2020-01-03")], "2020-01-03 follows 2020-01-03"),
    ):
        with pytest.raises(DataError, match=message):
            model.schedule(sessions)


@pytest.mark.parametrize("bad", [-1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["brokerage_bps", "slippage_bps", "impact_coefficient"])
def test_settings_that_cannot_be_are_refused(name, bad):
    with pytest.raises(DataError, match=name):
        NseDeliveryCosts(**{name: bad})


@pytest.mark.parametrize("bad", [-0.01, float("nan"), float("inf")])
def test_a_traded_value_that_cannot_be_is_refused(bad):
    with pytest.raises(DataError, match=r"purchases_inr\[1\]"):
        contract_note(day("2020-01-01"), [1.0, bad], [], NseDeliveryCosts())
    with pytest.raises(DataError, match=r"sales_inr\[0\]"):
        contract_note(day("2020-01-01"), [], [bad], NseDeliveryCosts())


def test_brokerage_of_the_whole_value_is_refused_by_the_schedule():
    with pytest.raises(DataError, match="bps on sales"):
        NseDeliveryCosts(brokerage_bps=9_999.0).schedule([day("2020-01-01")])
