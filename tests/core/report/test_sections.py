"""What single figures, tables and readings hold, on inputs small enough to check by hand."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest

from quant_core.report.blocks import (
    Band,
    Block,
    Figure,
    Note,
    Rule,
    Series,
    Table,
    figures_json,
    frame_table,
    paired,
    rounded,
)
from quant_core.report.inputs import ReportInput, prepare
from quant_core.report.render import report_sections
from quant_core.report.sections.overview import lead
from quant_core.report.sections.portfolio import CASH, REST, UNKNOWN, sector_weights
from quant_core.report.sections.promotion import gate_line
from quant_core.report.sections.regimes import SLOTS, calm_to_stressed
from quant_core.report.sections.trades import holding_histogram
from quant_core.schema import REGIME_NAMES, Attribution

Make = Callable[..., ReportInput]


def blocks(data: ReportInput) -> dict[str, Any]:
    """Figures by key and tables by "table-" and key."""
    sections = report_sections(prepare(data))
    made = [block for section in sections for block in section.blocks]
    named = {f"{'table-' if block.kind == 'table' else ''}{block.key}": block for block in made if block.kind != "note"}
    assert len(named) == sum(block.kind != "note" for block in made)  # every key is an element's id
    assert not {section.key for section in sections} & set(named)
    return named


def plain(text: str) -> str:
    return text.replace("\u202f", " ")


def figure(key: str, half: bool = True) -> Figure:
    return Figure(key, "t", "u", "r", half=half)


def test_figures_share_their_axes_and_cannot_close_their_script_element() -> None:
    days = ["2021-03-30", "2021-03-31"]
    evil = Series("</script><script>alert(1)</script>", [1.0, None])
    sparse = Series("weekly", [2.0], x=["2021-03-31"])
    axes, drawn = figures_json(
        [
            Figure("one", "t", "u", "r", days, (evil, sparse), rules=(Rule(0.0, label="<b>"),)),
            Figure("two", "t", "u", "r", list(days), (evil,), bands=(Band("calm", 2, [("2021-03-30", "2021-03-31")]),)),
        ]
    )
    assert json.loads(axes) == [days, ["2021-03-31"]]
    first, second = json.loads(drawn["one"]), json.loads(drawn["two"])
    assert (first["x"], second["x"]) == (0, 0)
    assert first["series"][0]["y"] == [1.0, None]
    assert "x" not in first["series"][0]
    assert first["series"][1]["x"] == 1
    assert second["bands"] == [{"name": "calm", "slot": 2, "spans": [["2021-03-30", "2021-03-31"]]}]
    assert "<" not in axes + drawn["one"] + drawn["two"]


def test_values_that_json_lacks_become_gaps() -> None:
    assert rounded(pl.Series([1.23456, None, float("nan"), float("inf")]), 2) == [1.23, None, None, None]


def test_a_half_block_without_a_neighbour_gets_the_whole_row() -> None:
    made = paired([figure("a"), figure("b"), figure("c"), Note("n"), figure("d"), figure("e", half=False), figure("f")])
    halves = [(block.key, block.half) for block in made if isinstance(block, Figure)]
    assert halves == [("a", True), ("b", True), ("c", False), ("d", False), ("e", False), ("f", False)]
    assert [block.kind for block in made].index("note") == 3


def test_a_table_holds_unrounded_values_and_empty_cells_for_what_is_missing() -> None:
    made = frame_table(
        "k",
        "t",
        pl.DataFrame({"strategy": ["a", "b"], "cagr": [0.1234567, None], "nw_t": [float("nan"), 2.0]}),
        marked="b",
    )
    assert [[plain(cell.text) for cell in row] for row in made.rows] == [["a", "12.3 %", "–"], ["b", "–", "2.00"]]
    assert [[cell.value for cell in row] for row in made.rows] == [["a", "0.1234567", ""], ["b", "", "2.0"]]
    assert (made.marked, made.text) == ({1}, {0})


def test_no_figure_holds_a_value_that_is_not_finite_and_all_series_fit_their_axis(make_report_input: Make) -> None:
    for block in blocks(make_report_input()).values():
        if isinstance(block, Figure):
            for series in block.series:
                assert len(series.y) == len(block.x if series.x is None else series.x), block.key
                assert any(value is not None for value in series.y), block.key
            figures_json([block])  # refuses NaN


def test_the_others_are_drawn_weekly_in_a_long_period_only_and_the_reading_says_so(make_report_input: Make) -> None:
    short = blocks(make_report_input())["equity-all"]
    long = blocks(make_report_input(date(2015, 1, 1), date(2019, 12, 31)))["equity-all"]
    assert all(series.x is None for series in short.series)
    assert "weekly" not in short.reading
    assert [series.role for series in long.series[:2]] == ["chosen", "benchmark"]
    assert all(series.x is None for series in long.series[:2])
    for series in long.series[2:]:
        assert len(series.x) < len(long.x) / 4
        assert (series.x[0], series.x[-1]) == (long.x[0], long.x[-1])
    assert long.reading.endswith("The other strategies are drawn weekly.")


def test_the_opening_line_compares_with_the_benchmark(make_report_input: Make) -> None:
    metrics = pl.DataFrame(
        {
            "strategy": ["top_n_boosting", "benchmark"],
            "cagr": [0.123, 0.110],
            "sharpe_ann": [0.71, 0.62],
            "max_drawdown": [-0.345, -0.381],
        }
    )
    assert plain(lead(prepare(replace(make_report_input(), metrics=metrics)))) == (
        "top_n_boosting returned 12.3 % a year net of costs, 1.3 percentage points above NIFTY 50 TRI (11.0 %), "
        "with a Sharpe ratio of 0.71 against 0.62; its deepest fall was −34.5 % against −38.1 %."
    )


def test_the_comparison_adds_the_sharpe_ratio_at_twice_the_costs_and_the_deflated_one(make_report_input: Make) -> None:
    data = make_report_input()
    made: Table = blocks(data)["table-comparison"]
    shown = dict(zip(made.csv_header, (cell.value for cell in made.rows[0]), strict=True))
    assert data.sensitivity is not None
    at = (pl.col("strategy") == data.strategy) & (pl.col("scenario") == "cost_multiple") & (pl.col("level") == 2.0)
    assert float(shown["sharpe_stressed_ann"]) == data.sensitivity.filter(at)["sharpe_ann"][0]
    assert shown["deflated_sharpe"] == "0.55"
    sharpes = [float(row[made.csv_header.index("sharpe_ann")].value) for row in made.rows[1:-1]]
    assert sharpes == sorted(sharpes, reverse=True)


def test_a_measure_that_nobody_placed_is_shown_at_the_end_by_its_suffix(make_report_input: Make) -> None:
    data = make_report_input()
    odd = data.metrics.with_columns(tail_loss_share=pl.lit(0.125), n_oddities=pl.lit(3))
    made: Table = blocks(replace(data, metrics=odd))["table-metrics"]
    assert [(row[0].text, plain(row[1].text)) for row in made.rows[-2:]] == [
        ("Tail loss share", "12.5 %"),
        ("Oddities", "3"),
    ]
    assert made.groups[-1] == (len(made.rows) - 2, "Other measures")
    assert made.header[:3] == ("Measure", "top_n_boosting", "benchmark")


def test_annual_returns_are_those_of_strategy_and_benchmark_and_their_difference(make_report_input: Make) -> None:
    data = make_report_input()
    made: Table = blocks(data)["table-annual"]
    index = data.benchmark.filter(pl.col("date").dt.year() == 2016)["simple_return_1d"]
    year, own, other, active = (cell.value for cell in made.rows[1])
    assert year == "2016"
    assert float(other) == pytest.approx((1 + index).product() - 1)
    assert float(active) == pytest.approx(float(own) - float(other))


def test_sector_weights_and_cash_add_up_and_a_name_without_sector_is_unknown(make_report_input: Make) -> None:
    data = make_report_input()
    book = prepare(data)
    assert book.sectors is not None
    wide = sector_weights(book, book.sectors)
    end = wide["date"][-1]
    assert wide.columns == ["date", *wide.columns[1:-2], REST, CASH]  # 7 of the 11 sectors, the rest, cash
    assert len(wide.columns) == 1 + 7 + 2
    held = book.positions.filter(pl.col("date") == end)["weight"].sum()
    final = wide.row(-1, named=True)
    assert sum(final[name] for name in wide.columns[1:-1]) == pytest.approx(held)
    one = pl.DataFrame({"ticker": ["TICKER00"], "sector": ["Banks"]})
    few = sector_weights(book, one)
    assert few.columns == ["date", UNKNOWN, "Banks", CASH]
    own = book.positions.filter(pl.col("date") == end, pl.col("ticker") == "TICKER00")["weight"][0]
    assert few["Banks"][-1] == pytest.approx(own)


def test_a_sector_called_cash_is_not_taken_for_cash(make_report_input: Make) -> None:
    book = prepare(make_report_input())
    wide = sector_weights(book, pl.DataFrame({"ticker": ["TICKER00"], "sector": ["cash"]}))
    assert wide.columns == ["date", UNKNOWN, "cash sector", CASH]


def test_holding_periods_fall_into_bins_with_inclusive_upper_ends() -> None:
    labels, counts = holding_histogram(pl.Series([0, 1, 2, 3, 5, 6, 252, 253, 999]))
    found = {label: n for label, n in zip(labels, counts, strict=True) if n}
    assert found == {"≤1": 2, "2": 1, "3–5": 2, "6–10": 1, "127–252": 1, ">252": 2}


def test_the_costs_of_a_year_are_stacked_over_its_mean_equity(make_report_input: Make) -> None:
    data = make_report_input()
    made: Figure = blocks(data)["cost-years"]
    assert data.costs is not None
    year = pl.col("date").dt.year() == 2016
    paid = data.costs.filter(year, pl.col("strategy") == data.strategy)["cost_inr"].sum()
    equity = data.daily.filter(year, pl.col("strategy") == data.strategy)["equity_inr"].mean()
    assert sum(series.y[1] for series in made.series) == pytest.approx(paid / equity, abs=1e-5)
    table: Table = blocks(data)["table-costs"]
    kinds = [float(row[1].value) for row in table.rows[:-1]]
    assert float(table.rows[-1][1].value) == pytest.approx(sum(kinds))
    assert kinds == sorted(kinds, reverse=True)


def test_the_best_and_worst_trips_never_overlap(make_report_input: Make) -> None:
    data = make_report_input()
    assert data.trips is not None
    closed = data.trips.filter(pl.col("strategy") == data.strategy, pl.col("exit_date").is_not_null())
    few = closed.sort("pnl_inr", descending=True).head(7)
    made: Table = blocks(replace(data, trips=few))["table-trips"]
    assert [float(row[5].value) for row in made.rows] == [*few["pnl_inr"][:5], *few["pnl_inr"][5:].reverse()]
    assert made.groups == ((0, "Best"), (5, "Worst"))


def test_orders_all_filled_are_a_sentence_and_no_empty_chart(make_report_input: Make) -> None:
    data = make_report_input()
    assert "unfilled" in blocks(data)
    filled = replace(data, daily=data.daily.with_columns(n_unfilled=pl.lit(0, pl.Int32)))
    assert "unfilled" not in blocks(filled)
    notes = [b for s in report_sections(prepare(filled)) for b in s.blocks if isinstance(b, Note)]
    assert any(note.text.startswith("Every order of top_n_boosting was filled in full") for note in notes)


def test_regimes_are_ordered_by_the_benchmarks_volatility(make_report_input: Make) -> None:
    data = make_report_input()
    moves = (
        pl.when(pl.col("regime") == "Bull").then(0.05).when(pl.col("regime") == "Sideways").then(0.001).otherwise(0.01)
    )
    sign = pl.when(pl.int_range(pl.len()) % 2 == 0).then(1.0).otherwise(-1.0)
    index = data.benchmark.join(data.regimes, on="date").with_columns(simple_return_1d=moves * sign).drop("regime")
    states = calm_to_stressed(prepare(replace(data, benchmark=index)))
    assert (states[0], states[-1]) == ("Sideways", "Bull")


def own_names(data: ReportInput) -> ReportInput:
    """The same with four of the lab's own names, and with the books that follow them."""
    names = dict(zip(("Bull", "Sideways", "High volatility", "Crisis"), REGIME_NAMES[:4], strict=True))
    assert data.regimes is not None
    assert data.by_regime is not None
    assert data.sensitivity is not None
    renamed = [table.with_columns(pl.col("regime").replace(names)) for table in (data.regimes, data.by_regime)]
    renamed[0] = renamed[0].with_columns(
        regime=pl.when(pl.int_range(pl.len()) < 20).then(pl.lit("Crisis")).otherwise("regime")
    )
    first, second = sorted(set(data.daily["strategy"]) - {data.strategy})[:2]
    books = {first: "regime_gated", second: "buy_hold_index"}
    told = pl.col("strategy").replace(books)
    return replace(
        data, regimes=renamed[0], by_regime=renamed[1].with_columns(told).sample(fraction=1.0, shuffle=True, seed=1),
        daily=data.daily.with_columns(told), metrics=data.metrics.with_columns(told),
        sensitivity=data.sensitivity.with_columns(told),
    )  # fmt: skip


def test_the_labs_own_regimes_keep_their_order_and_colour_whichever_occur(make_report_input: Make) -> None:
    data = own_names(make_report_input())
    made: Figure = blocks(data)["equity-regimes"]
    assert [(band.name, band.slot) for band in made.bands] == [(n, SLOTS[n]) for n in REGIME_NAMES[:4]]
    without = replace(data, regimes=data.regimes.filter(pl.col("regime") != "High-Vol Bull"))  # type: ignore[union-attr]
    bands = {band.name: band.slot for band in blocks(without)["timeline"].bands}
    assert bands == {name: SLOTS[name] for name in ("Low-Vol Bull", "Bear", "Crisis")}
    matrix: Table = blocks(data)["table-transitions"]
    assert matrix.header == ("From", *REGIME_NAMES[:4])


def test_measures_by_regime_show_the_chosen_book_those_that_follow_regimes_and_the_benchmark(
    make_report_input: Make,
) -> None:
    data = own_names(make_report_input())
    shown: Table = blocks(data)["table-by-regime"]
    books = [data.strategy, "regime_gated", "buy_hold_index", "benchmark"]
    assert [(row[0].value, row[1].value) for row in shown.rows] == [(b, r) for b in books for r in REGIME_NAMES[:4]]
    whole: Table = blocks(data)["table-by-regime-all"]
    assert len({row[0].value for row in whole.rows}) == data.daily["strategy"].n_unique() + 1


def test_books_that_follow_regimes_stand_beside_the_held_index_at_once_and_a_session_later(
    make_report_input: Make,
) -> None:
    data = own_names(make_report_input())
    assert data.sensitivity is not None
    table: Table = blocks(data)["table-regime-books"]
    assert [(row[0].text, row[1].text) for row in table.rows] == [
        (name, filled) for name in ("regime_gated", "buy_hold_index") for filled in ("as traded", "a session later")
    ]
    late = data.sensitivity.filter(
        pl.col("scenario") == "extra_delay_sessions", pl.col("level") == 1, pl.col("strategy") == "regime_gated"
    )
    assert float(table.rows[1][table.csv_header.index("sharpe_ann")].value) == late["sharpe_ann"].item()
    assert "table-regime-books" not in blocks(make_report_input())


def test_the_bands_cover_every_labelled_session_once(make_report_input: Make) -> None:
    data = make_report_input()
    made: Figure = blocks(data)["equity-regimes"]
    assert data.regimes is not None
    label = {str(day): name for day, name in data.regimes.select("date", "regime").iter_rows()}
    covered = [
        (day, band.name) for band in made.bands for start, end in band.spans for day in label if start <= day <= end
    ]
    assert sorted(covered) == sorted(label.items())
    matrix: Table = blocks(data)["table-transitions"]
    for row in matrix.rows:
        assert sum(float(cell.value) for cell in row[1:]) == pytest.approx(1.0)


def test_overfitting_by_family_is_a_table_and_is_left_out_where_no_family_has_two_variants(
    make_report_input: Make,
) -> None:
    data = make_report_input()
    assert "table-overfitting-families" not in blocks(data)
    one = data.overfitting
    assert one is not None
    families = {
        "top_n": replace(one, pbo=0.6, n_splits=70, n_trials=3),
        "momentum": replace(one, pbo=0.25, n_splits=70, n_trials=2),
    }
    made: Table = blocks(replace(data, overfitting_by_family=families))["table-overfitting-families"]
    shown = [[cell.text.replace("\u202f", " ") for cell in row] for row in made.rows]
    assert shown == [["top_n", "3", "70", "60.0 %"], ["momentum", "2", "70", "25.0 %"]]


def test_the_overfitting_histogram_counts_every_split_infinite_logits_too(make_report_input: Make) -> None:
    data = make_report_input()
    assert data.overfitting is not None
    logits = np.array([-np.inf, -0.3, 0.2, 0.4, np.inf, 2.0])
    data = replace(data, overfitting=replace(data.overfitting, pbo=1 / 3, logits=logits, n_splits=6, n_trials=4))
    made: Figure = blocks(data)["overfitting"]
    below, above = (sum(value or 0.0 for value in series.y) for series in made.series)
    assert (below, above) == (pytest.approx(2 / 6, abs=1e-4), pytest.approx(4 / 6, abs=1e-4))


def test_a_stress_is_drawn_over_its_levels_and_capacity_on_a_log_axis(make_report_input: Make) -> None:
    made = blocks(make_report_input())
    assert made["cost-stress"].x == ["1×", "2×", "3×"]
    assert made["delay"].x == ["+0", "+1", "+2"]
    capacity: Figure = made["capacity"]
    assert (capacity.x_kind, capacity.x) == ("log", [1e6, 1e7, 1e8, 1e9, 1e10])
    assert capacity.x_ticks == ((1e6, "0.1"), (1e7, "1"), (1e8, "10"), (1e9, "100"), (1e10, "1,000"))
    assert capacity.x_title == "starting capital, ₹ crore"
    assert "at ₹10 lakh" in plain(capacity.reading)
    assert made["table-cost-stress-levels"].csv_header[:4] == (
        "strategy", "sharpe_ann_at_1", "sharpe_ann_at_2", "sharpe_ann_at_3",
    )  # fmt: skip


def test_the_model_shown_is_the_one_in_the_strategys_name_else_the_first_and_said_so(make_report_input: Make) -> None:
    data = make_report_input()
    assert prepare(data).model == "boosting"
    other = replace(data, strategy="equal_weight")
    assert prepare(other).model == "boosting"
    texts = [b.text for s in report_sections(prepare(other)) for b in s.blocks if isinstance(b, Note)]
    assert "No model belongs to equal_weight by name; the figures show boosting." in texts
    longer = data.quality.with_columns(pl.lit("top_n_boosting").alias("model")) if data.quality is not None else None
    assert prepare(replace(data, quality=longer)).model == "top_n_boosting"


def test_a_strategy_that_held_nothing_has_sentences_for_figures(make_report_input: Make) -> None:
    data = make_report_input()
    assert data.positions is not None
    opening = data.positions.filter(pl.col("date") == data.positions["date"].min())
    made: list[Block] = [b for s in report_sections(prepare(replace(data, positions=opening))) for b in s.blocks]
    texts = [b.text for b in made if isinstance(b, Note)]
    assert "top_n_boosting held nothing after any session." in texts
    assert "top_n_boosting held nothing after the last session of any week." in texts


def test_the_gate_shows_every_lead_with_its_interval_and_who_is_promoted(make_report_input: Make) -> None:
    data = make_report_input(strategies=("top_n_boosting", "top_n_tft", "top_n_ridge", "equal_weight"))
    assert data.promotion is not None
    answers = pl.col("status").is_not_null() & (pl.col("strategy") == "top_n_tft")
    told = data.promotion.with_columns(
        status=pl.when(answers).then(pl.lit("promoted")).otherwise("status"),
        sharpe_ann=pl.when(answers).then(0.9).otherwise("sharpe_ann"),
    )
    book = prepare(replace(data, promotion=told))
    table = blocks(replace(data, promotion=told))["table-gate"]
    assert [row[0].text for row in table.rows] == ["top_n_tft", "top_n_boosting"]
    assert table.header[6:8] == ("Over ridge", "Over equal weight")
    assert [cell.text for cell in table.rows[1][6:8]] == ["0.10 (−0.20 to 0.41)", "−0.05 (−0.50 to 0.30)"]
    assert table.marked == {1}
    assert gate_line(book) == "Of 2 candidates top_n_tft is promoted."
    none = prepare(replace(data, promotion=told.with_columns(status=pl.lit("open"))))
    assert gate_line(none).startswith("Of 2 candidates none is promoted; top_n_boosting and top_n_tft cannot be judged")


def test_the_parts_of_a_return_are_stacked_for_the_main_books_and_told_with_their_intervals(
    make_report_input: Make,
) -> None:
    names = ("top_n_boosting", "top_n_ridge", "equal_weight")
    parts = {"market": -0.01, "size": 0.02, "sector": 0.0, "signal": 0.05, "luck": -0.02, "cash": 0.0, "trading": 0.0,
             "cost": -0.03}  # fmt: skip
    rows = [(name, part, value * scale, value * scale - 0.01, value * scale + 0.01)
            for name, scale in zip(names, (1.0, 3.0, 2.0), strict=True)
            for part, value in (parts | {"active": 0.01}).items()]  # fmt: skip
    table = pl.DataFrame(rows, schema=Attribution.create_empty().schema, orient="row")
    made = blocks(replace(make_report_input(strategies=names), attribution=table))
    drawn = made["return-parts"]
    assert drawn.x == ["top_n_boosting", "top_n_ridge", "equal_weight"]  # the chosen one, then by active return
    assert {series.name: series.y for series in drawn.series}["signal"] == [0.05, 0.15, 0.10]
    assert plain(drawn.reading) == (
        "top_n_boosting: 1.0 % a year over the benchmark, of it signal 5.0 %, cost \u22123.0 %, size 2.0 %."
    )
    told = made["table-return-parts-table"]
    cells = dict(zip(told.header, (cell.text for cell in told.rows[0]), strict=True))
    assert (plain(cells["Active"]), plain(cells["Signal"])) == ("1.0 %", "5.0 % (4.0 % to 6.0 %)")
    assert (cells["Transfer"], told.rows[2][-1].text) == ("0.35", "\u2013")
