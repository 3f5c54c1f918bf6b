"""Every model's forecasts beside one another: their order, by year and against each other, then whether what they say
of a return's distribution came true. Nothing here is net of costs."""

from collections.abc import Callable, Sequence

import polars as pl

from quant_core.report.blocks import Block, Cell, Figure, Note, Role, Rule, Section, Series, Table, frame_table, rounded
from quant_core.report.formats import correlation, percent, ratio
from quant_core.report.inputs import Prepared
from quant_core.report.sections.periods import heat_style
from quant_core.report.series import number
from quant_core.schema import REGIME_NAMES

#: Daily rank IC and t whose cells have the full colour.
FULL_RANK_IC, FULL_T = 0.08, 3.0
ORDER = ("model", "horizon_sessions", "n_dates", "mean_rank_ic", "nw_t", "icir", "hit_rate", "mean_ic")
DISTRIBUTION = (
    "model", "horizon_sessions", "crps_skill", "coverage_50", "coverage_80", "coverage_90", "adaptive_coverage_90",
    "pit_ks", "qlike", "qlike_trailing",
)  # fmt: skip
DIRECTIONS = (
    "model", "horizon_sessions", "direction_log_loss", "base_log_loss", "direction_accuracy", "base_accuracy",
    "direction_disagreement",
)  # fmt: skip
BY_REGIME = (
    "regime", "n_dates", "mean_rank_ic", "crps_skill", "coverage_90", "adaptive_coverage_90", "regime_coverage_90",
)  # fmt: skip
MODEL = {"model": "Model"}
#: Inputs of a model that are named.
ORDINALS = ("First", "Second", "Third", "Fourth")
MOST_INPUTS = len(ORDINALS)


def models_section(book: Prepared) -> Section:
    """The comparison of every model and baseline."""
    card = book.scorecard
    if card.is_empty():
        why = Note("Models were not compared: no forecast was scored in this period.")
        return Section("models", "Models compared", (why,))
    return Section(
        "models",
        "Models compared",
        (
            order_table(book),
            year_table(book),
            *pair_blocks(book),
            *input_table(book),
            *calibration_blocks(book),
            *part_blocks(book),
            *regime_table(book),
        ),
    )


def order_table(book: Prepared) -> Table:
    """Each model over its own horizon and over the common one."""
    whole = book.scorecard.filter(pl.col("part") == "all")
    return frame_table(
        "models-order",
        "Order of the names",
        whole.sort("horizon_sessions", "mean_rank_ic", descending=[False, True], nulls_last=True).select(ORDER),
        unit="a day",
        caption="Every model over its own horizon and over one that all share; momentum, the half-year return, beside "
        "them. The t statistic allows for overlapping labels (Newey\u2013West).",
        labels=MODEL,
        marked=book.model,
    )


def year_table(book: Prepared) -> Table:
    """Mean daily rank IC of each model in each year, over the common horizon."""
    horizon = common_horizon(book)
    rows = book.scorecard.filter(pl.col("part") == "year", pl.col("horizon_sessions") == horizon)
    years = rows["value"].unique().sort().to_list()
    found = {(model, year): ic for model, year, ic in rows.select("model", "value", "mean_rank_ic").iter_rows()}
    return _matrix(
        "models-years", "Rank IC by year", f"mean daily Spearman correlation over {horizon} sessions",
        "Blue above zero, orange below: a model whose colour changes every year has not been found out yet.",
        _names(rows), years, found, FULL_RANK_IC, book.model,
    )  # fmt: skip


def pair_blocks(book: Prepared) -> list[Block]:
    """Who is better than whom by more than luck, how alike they are, and what each adds to the mean of all."""
    if book.pairs.is_empty():
        return [Note("Fewer than two forecasts: there is no pair to compare.")]
    keyed = book.pairs.select("model", "other", "dm_t", "score_correlation")
    names = _names(book.pairs)
    blocks: list[Block] = [
        _matrix(
            "models-pairs", "Better by more than luck", "t statistic of row against column",
            "Diebold\u2013Mariano on daily rank ICs, corrected by Harvey, Leybourne and Newbold: above 2 the model in "
            "the row is better than the one in the column, one test at a time. Zero has no opinion.",
            names, names, {(a, b): t for a, b, t, _ in keyed.iter_rows()}, FULL_T, book.model, ratio,
        ),
        _matrix(
            "models-alike", "How alike the scores are", "mean rank correlation of a day's scores",
            "Models that say the same add nothing to one another.",
            names, names, {(a, b): c for a, b, _, c in keyed.iter_rows()}, 1.0, book.model, ratio,
        ),
    ]  # fmt: skip
    added = book.contributions.drop_nulls("rank_ic_added").sort("rank_ic_added", descending=True)
    if added.is_empty():
        return [*blocks, Note("One model only: nothing is left without it, so what it adds was not measured.")]
    best = added.row(0, named=True)
    figure = Figure(
        "models-added",
        "What each model adds",
        "rank IC of the mean of all models' ranks, less the mean without this one",
        f"The mean of all has a rank IC of {correlation(best['ensemble_rank_ic'])}; most comes from {best['model']} "
        f"({correlation(best['rank_ic_added'])}). Labels: Newey\u2013West t.",
        added["model"].to_list(),
        (Series("added", rounded(added["rank_ic_added"], 5), text=[_t(value) for value in added["nw_t"]]),),
        "bar",
        "category",
        y_format=".3f",
        hover_format=".4f",
        rules=(Rule(0.0),),
    )
    return [*blocks, figure]


def input_table(book: Prepared) -> list[Block]:
    """What each model of the newest fold leans on most."""
    if book.importance.is_empty():
        return []
    names = _names(book.importance)
    rows = []
    for model in names:
        own = book.importance.filter(pl.col("model") == model).sort(["importance", "feature"], descending=[True, False])
        told = own.head(MOST_INPUTS).select("feature", "importance").iter_rows()
        cells = [Cell(f"{feature} {correlation(lost)}", f"{feature} {lost!r}") for feature, lost in told]
        rows.append((Cell(model, model), *cells, *[Cell("", "")] * (MOST_INPUTS - len(cells))))
    return [
        Table(
            "models-inputs", "What each model leans on", "rank IC lost when an input belongs to other names",
            "Permutation importance of the newest fold, on the validation slice of its fit: inputs of a family are "
            "exchanged together between names, an ensemble's are its members. What several inputs share counts for "
            "none of them.",
            ("Model", *ORDINALS), ("model", *ORDINALS), tuple(rows),
            marked=frozenset(k for k, name in enumerate(names) if name == book.model),
            text=frozenset(range(1 + MOST_INPUTS)),
        )
    ]  # fmt: skip


def calibration_blocks(book: Prepared) -> list[Block]:
    """Whether intervals, distributions and probabilities came true."""
    whole = book.scorecard.filter(pl.col("part") == "all", "is_own_horizon")
    said = whole.filter(pl.any_horizontal(pl.col(DISTRIBUTION[2:] + DIRECTIONS[2:]).is_not_null()))
    if said.is_empty():
        return [
            Note(
                "No model says more than a score: its fit had no validation slice to calibrate on, or the features "
                "have no realized_vol_63d_ann. Intervals and probabilities were not judged."
            )
        ]
    table = frame_table(
        "models-distribution",
        "Distributions",
        said.select(DISTRIBUTION),
        unit="over the model's own horizon",
        caption="Calibrated on the validation slice of each fit. CRPS skill is against a normal with mean 0 and the "
        "trailing volatility; QLIKE of the trailing variance stands beside the model's. Adaptive intervals follow what "
        "was missed before.",
        labels=MODEL,
        marked=book.model,
    )
    directions = frame_table(
        "models-directions",
        "Directions",
        said.select(DIRECTIONS),
        unit="down, flat or up by half a standard deviation",
        caption="The base is the frequency of each direction, known in hindsight. The heads disagree by the mean "
        "distance of the stated probability of up and that of the stated distribution.",
        labels=MODEL,
        marked=book.model,
    )
    return [table, directions, *pit_figure(book), *reliability_figure(book)]


def pit_figure(book: Prepared) -> list[Block]:
    """Where the outcomes fell in the distributions of one model."""
    if book.pit.is_empty():
        return []
    model = _shown(book, book.pit)
    own = book.pit.filter(pl.col("model") == model).sort("bin")
    ends = number(own["share"][0]) + number(own["share"][-1])
    return [
        Figure(
            "models-pit",
            "Where outcomes fell",
            f"% of returns in each tenth of the distribution, {model}",
            f"Level at 10\u202f% where the distribution is right; the two ends hold {percent(ends)}: more than "
            "20\u202f% is too sure, less too careful.",
            [str(value) for value in own["bin"]],
            (Series(model, rounded(own["share"])),),
            "bar",
            "category",
            x_title="tenth of the forecast distribution, 1 = lowest returns",
            from_zero=True,
            rules=(Rule(0.1),),
            half=True,
        )
    ]


def reliability_figure(book: Prepared) -> list[Block]:
    """How often a direction came true, by what was said of it."""
    if book.reliability.is_empty():
        return []
    model = _shown(book, book.reliability)
    own = book.reliability.filter(pl.col("model") == model).sort("direction", "bin")
    line = [0.0, round(number(own.select(pl.max_horizontal("mean_probability", "frequency").max()).item()), 4)]
    roles: tuple[tuple[str, Role], ...] = (("up", "chosen"), ("down", "other"))
    drawn = [
        Series(direction, rounded(rows["frequency"]), role, x=rounded(rows["mean_probability"]))
        for direction, role in roles
        if (rows := own.filter(pl.col("direction") == direction)).height
    ]
    return [
        Figure(
            "models-reliability",
            "Directions: said and seen",
            f"% of returns beyond half a standard deviation, {model}",
            "On the straight line what was said is what happened; below it the model is too sure.",
            line,
            (*drawn, Series("as said", line, "benchmark")),
            x_kind="number",
            x_title="probability said",
            x_format=".0%",
            y_format=".0%",
            from_zero=True,
            half=True,
        )
    ]


def part_blocks(book: Prepared) -> list[Block]:
    """Rank IC by liquidity, sector and market regime, where there are any."""
    horizon = common_horizon(book)
    blocks: list[Block] = []
    for part, title, order in (
        ("liquidity", "Rank IC by liquidity", ("low", "middle", "high")),
        ("sector", "Rank IC by sector", None),
        ("regime", "Rank IC by regime", REGIME_NAMES),
    ):
        rows = book.scorecard.filter(pl.col("part") == part, pl.col("horizon_sessions") == horizon)
        rows = rows.filter(pl.col("mean_rank_ic").is_not_null())
        if rows.height:
            values = rows["value"].unique().sort().to_list()
            columns = [name for name in order if name in values] if order else values
            found = dict(zip(rows.select("model", "value").iter_rows(), rows["mean_rank_ic"], strict=True))
            blocks.append(
                _matrix(
                    f"models-{part}", title, f"mean daily Spearman correlation over {horizon} sessions, within each",
                    "Parts of few names are noisy; a day with fewer than five has no correlation.",
                    _names(rows), columns, found, FULL_RANK_IC, book.model,
                )
            )  # fmt: skip
    return blocks


def regime_table(book: Prepared) -> list[Block]:
    """Whether the intervals of one model hold in every market regime."""
    own = book.scorecard.filter(pl.col("part") == "regime", "is_own_horizon").drop_nulls("regime_coverage_90")
    if own.is_empty():
        return []
    model = _shown(book, own)
    rows = own.filter(pl.col("model") == model).sort(pl.col("value").cast(pl.Enum(REGIME_NAMES)))
    return [
        frame_table(
            "models-regime-intervals",
            "Intervals by regime",
            rows.rename({"value": "regime"}).select(BY_REGIME),
            unit=f"{model}, by the regime of the forecast's session",
            caption="An interval that holds 90\u202f% of returns on the whole may hold too few in a crisis and too "
            "many in calm. The last column has a level of its own for every regime, moved by past returns in that "
            "regime only.",
            labels={"regime": "Regime"},
        )
    ]


def common_horizon(book: Prepared) -> int:
    """The horizon that every model is judged over; the smallest where there are several."""
    whole = book.scorecard.filter(pl.col("part") == "all")
    by_horizon = whole.group_by("horizon_sessions").agg(pl.col("model").n_unique())
    return int(by_horizon.sort(["model", "horizon_sessions"], descending=[True, False])["horizon_sessions"][0])


def _matrix(
    key: str, title: str, unit: str, caption: str, rows: Sequence[str], columns: Sequence[str],
    values: dict[tuple[str, str], float | None], full: float, marked: str | None,
    written: Callable[[float], str] = correlation,
) -> Table:  # fmt: skip
    """Models down, `columns` across, each cell coloured by its value."""

    def one(row: str, column: str) -> Cell:
        value = values.get((row, column))
        return Cell("", "") if value is None else Cell(written(value), repr(value), heat_style(value / full))

    return Table(
        key, title, unit, caption, ("Model", *columns), ("model", *columns),
        tuple((Cell(row, row), *(one(row, column) for column in columns)) for row in rows),
        marked=frozenset(k for k, row in enumerate(rows) if row == marked), text=frozenset({0}),
    )  # fmt: skip


def _names(table: pl.DataFrame) -> list[str]:
    return table["model"].unique().sort().to_list()


def _shown(book: Prepared, table: pl.DataFrame) -> str:
    """The chosen strategy's model where the table has it, else its first."""
    names = _names(table)
    return str(book.model) if book.model in names else names[0]


def _t(value: float | None) -> str:
    return "" if value is None else f"t {ratio(value)}"
