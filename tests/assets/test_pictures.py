"""Pictures on asset pages: where each point lies, what must stay visible, and that the page shows them in place."""

import re
import xml.etree.ElementTree as ElementTree
from datetime import date, timedelta
from typing import Any
from urllib.parse import unquote

import numpy as np
import polars as pl
import pytest

from quant_assets.pages.drawing import INLINE, LEFT, WIDTH, bar_chart, markdown, round_numbers
from quant_assets.pages.pictures import (
    NOTHING,
    book_pictures,
    coverage_picture,
    curve_picture,
    ic_picture,
    importance_picture,
    sessions_picture,
    thinned,
)

SVG = "{http://www.w3.org/2000/svg}"
DAYS = [date(2015, 1, 1) + timedelta(days=k) for k in range(3000)]


def svg_of(found: Any) -> ElementTree.Element:
    """The picture inside a metadata value, as a browser would read it."""
    link = re.fullmatch(r"!\[[^\]]+\]\(<data:image/svg\+xml,(.*)>\)", found.value, re.S)
    assert link is not None
    return ElementTree.fromstring(unquote(re.sub(r"\\([<>])", r"\1", link[1])))


def texts(found: Any) -> list[str]:
    return ["".join(text.itertext()) for text in svg_of(found).iter(f"{SVG}text")]


def lines(found: Any) -> dict[str, list[tuple[int, int]]]:
    """Points of each line by its color, from the relative steps of its path."""
    drawn = {}
    for path in svg_of(found).iter(f"{SVG}path"):
        if path.get("fill") == "none":
            numbers = [int(n) for n in re.findall(r"-?\d+", path.get("d", ""))]
            steps = np.array(numbers).reshape(-1, 2).cumsum(axis=0)
            drawn[path.get("stroke", "")] = [tuple(step) for step in steps.tolist()]
    return drawn


def books(n: int, *names: str) -> pl.DataFrame:
    generator = np.random.default_rng(3)
    parts = [
        pl.DataFrame({"date": DAYS[:n], "simple_return_1d": generator.normal(0.0005, 0.01, n)}).with_columns(
            strategy=pl.lit(name)
        )
        for name in names
    ]
    return pl.concat(parts)


def index_of(daily: pl.DataFrame) -> pl.DataFrame:
    days = daily["date"].unique().sort()
    return pl.DataFrame({"date": days, "simple_return_1d": [0.0004] * len(days), "series": ["TRI"] * len(days)})


def test_a_line_goes_from_the_first_value_to_the_last_and_high_is_up() -> None:
    curve = pl.DataFrame({"epoch": [1, 2, 3], "loss": [4.0, 2.0, 0.0]})
    points = lines(curve_picture(curve))["teal"]
    assert points == [(46, 16), (231, 60), (416, 104)]
    assert {"0", "2", "4", "loss", "1", "3"} <= set(texts(curve_picture(curve)))


def test_a_figure_that_was_not_logged_at_a_step_is_left_out_there() -> None:
    curve = pl.DataFrame({"epoch": [1, 2, 3], "train": [4.0, 2.0, 0.0], "valid": [None, 1.0, float("nan")]})
    drawn = lines(curve_picture(curve))
    assert len(drawn["chocolate"]) == 3
    assert drawn["teal"][0] == (231, 82)
    assert curve_picture(curve.select("epoch")) == NOTHING


def test_the_books_of_models_and_the_index_are_drawn_and_named() -> None:
    daily = books(2000, "momentum", "top_n_a", "top_n_b", "equal_weight")
    found = book_pictures(daily, index_of(daily))
    assert set(found) == {"equity", "drawdown"}
    for picture in found.values():
        assert len(lines(picture)) == 3
        assert any(text.split() == ["index", "top_n_b", "top_n_a"] for text in texts(picture))
    assert any("%" in text for text in texts(found["drawdown"]))


def test_a_crash_between_two_points_is_in_the_picture_of_drawdowns() -> None:
    daily = books(2500, "top_n_a").with_columns(simple_return_1d=pl.lit(0.0001))
    crash = pl.when(pl.col("date") == DAYS[1203]).then(-0.4).when(pl.col("date") == DAYS[1204]).then(1 / 0.6 - 1)
    daily = daily.with_columns(simple_return_1d=crash.otherwise("simple_return_1d"))
    points = lines(book_pictures(daily, index_of(daily))["drawdown"])["teal"]
    assert max(down for _, down in points) == 104  # the floor of the picture
    assert sum(down > 60 for _, down in points) == 1


def test_rank_ic_is_added_up_and_a_day_without_one_adds_nothing() -> None:
    quality = pl.DataFrame(
        {"date": DAYS[:4], "model": ["m"] * 4, "rank_ic": [1.0, None, 1.0, -2.0]}, schema_overrides={"date": pl.Date}
    )
    assert [down for _, down in lines(ic_picture(quality))["teal"]] == [60, 60, 16, 104]
    assert ic_picture(quality.clear()) == NOTHING


def test_coverage_is_a_step_a_month_and_a_gap_is_seen() -> None:
    counts = pl.DataFrame({"date": DAYS, "priced": [50] * 1000 + [10] * 31 + [50] * 1969, "carried": [0] * 3000})
    carried, priced = [path for path in svg_of(coverage_picture(counts)).iter(f"{SVG}path") if path.get("fill")]
    levels = [int(level) for level in re.findall(r"V(\d+)", priced.get("d", ""))]
    assert levels[0] == 16
    assert max(levels[:-1]) > 60
    assert carried.get("d") == priced.get("d")  # nothing was carried: the same outline, behind the other
    assert texts(coverage_picture(counts.head(20)))[-3:] == ["01 Jan", "08 Jan", "15 Jan"]
    assert coverage_picture(counts.clear()) == NOTHING


def test_bars_are_as_long_as_their_values_and_negative_ones_have_another_color() -> None:
    svg = ElementTree.fromstring(bar_chart(["a", "bb", "c"], [0.5, -0.25, 0.0], "{:g}".format))
    bars = {path.get("stroke"): path.get("d", "") for path in svg.iter(f"{SVG}path")}
    (longest, nothing), (half,) = ([int(n) for n in re.findall(r"h(\d+)", bar)] for bar in bars.values())
    assert nothing == 1
    assert half == pytest.approx(longest / 2, abs=1)
    assert [text.text for text in svg.iter(f"{SVG}text")] == ["a 0.5", "bb -0.25", "c 0"]


@pytest.mark.slow
@pytest.mark.parametrize("names", [("top_n_a",), ("top_n_ridge", "top_n_temporal_fusion_transformer")])
def test_the_page_shows_every_picture_in_place(names: tuple[str, ...]) -> None:
    daily = books(3000, *names)
    generator = np.random.default_rng(5)
    epochs = pl.DataFrame({"epoch": range(200), "train_loss": generator.normal(size=200), "valid_loss": [1.0] * 200})
    table = pl.DataFrame({"feature": [f"garman_klass_vol_{k}d_ann_z252" for k in range(40)], "x": np.arange(40, 0, -1)})
    counts = pl.DataFrame({"date": DAYS, "priced": generator.integers(300, 500, 3000), "carried": [3] * 3000})
    found = [
        *book_pictures(daily, index_of(daily)).values(),
        curve_picture(epochs), importance_picture(table), coverage_picture(counts),
    ]  # fmt: skip
    for picture in found:
        assert len(picture.value) <= INLINE
        svg_of(picture)


def test_what_a_name_holds_cannot_break_the_picture() -> None:
    curve = pl.DataFrame({"epoch": [1, 2], "a<b>&'\"%#": [1.0, 2.0]})
    assert "a<b>&'\"%#" in texts(curve_picture(curve))


def test_texts_lie_inside_the_picture() -> None:
    daily = books(2500, "top_n_ridge")
    for picture in book_pictures(daily, index_of(daily)).values():
        ends = [int(text.get("x", "0")) for text in svg_of(picture).iter(f"{SVG}text")]
        assert min(ends) >= LEFT - 5
        assert max(ends) <= WIDTH


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 30.0, [0.0, 10.0, 20.0, 30.0]), (-0.31, 0.0, [-0.2, 0.0]), (5.0, 5.0, [5.0]),
        (1.0, 1.004, [1.0, 1.002, 1.004]),
    ],
)  # fmt: skip
def test_axes_have_round_numbers(low: float, high: float, expected: list[float]) -> None:
    assert round_numbers(low, high) == pytest.approx(expected)


def test_the_last_row_of_a_long_table_stays() -> None:
    table = pl.DataFrame({"k": range(1000), "x": range(1000)})
    short = thinned(table, 30, pl.Expr.last)
    assert short.height <= 30
    assert short.row(-1) == (999, 999)
    assert thinned(table.head(7), 30, pl.Expr.last).equals(table.head(7))


def test_a_percent_sign_of_the_picture_is_no_code_of_the_link() -> None:
    assert markdown("<a>20%</a>", "x") == r"![x](<data:image/svg+xml,\<a\>20%25\</a\>>)"


def test_sessions_that_are_read_stand_from_the_oldest_to_the_calendar_ahead() -> None:
    share = pl.DataFrame({"session": range(-62, 6), "share": [0.0] * 62 + [0.5] + [0.1] * 5})
    found = sessions_picture(share)
    shown = texts(found)
    assert "-62" in shown
    assert any(text.startswith("50") for text in shown)
    (points,) = lines(found).values()
    assert len(points) == 68
    assert points[62][1] == min(y for _, y in points)
