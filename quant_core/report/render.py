"""One self-contained HTML report of a backtest, and its Markdown summary. Same input, same bytes: no clock, no chance.

The parts of the page are in sections/, one file each; nothing is measured here that the tables already hold.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import polars as pl

from quant_core.report.blocks import Figure, Section, figures_json, paired
from quant_core.report.formats import defused, spec, write
from quant_core.report.inputs import Prepared, ReportInput, prepare
from quant_core.report.sections.attribution import attribution_section
from quant_core.report.sections.forecasts import forecasts_section
from quant_core.report.sections.limits import all_notes, limits_section
from quant_core.report.sections.losses import risk_section
from quant_core.report.sections.models import models_section
from quant_core.report.sections.overview import (
    COMPARED,
    comparison_section,
    headlines,
    lead,
    summary_section,
)
from quant_core.report.sections.periods import performance_section
from quant_core.report.sections.portfolio import portfolio_section
from quant_core.report.sections.promotion import promotion_section
from quant_core.report.sections.regimes import regime_section
from quant_core.report.sections.robustness import robustness_section
from quant_core.report.sections.trades import trades_section
from quant_core.report.series import BENCHMARK_KEY
from quant_core.report.verdict import significance_line, verdict

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

__all__ = ["ReportInput", "markdown_summary", "render_report", "sparkline"]

SPARKS, SPARK_WIDTH = "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588", 32


def render_report(data: ReportInput) -> str:
    """The report as one HTML page that needs no network.

    Raises:
        DataError: the strategy has no row in the period.
    """
    book = prepare(data)
    told = {"lead": lead(book), "headlines": headlines(book), "notes": all_notes(book)}
    return page_of(book.data, report_sections(book), **told)


def page_of(data: Any, sections: Sequence[Section], **told: Any) -> str:
    """Sections as one HTML page.

    Args:
        data: with title, profile, start, end, warnings and provenance.
        told: what the sections "summary" and "notes" say, for a page that has them.
    """
    axes, drawn = figures_json(block for s in sections for block in s.blocks if isinstance(block, Figure))
    page = _environment().get_template("report.html.j2")
    return page.render(data=data, sections=sections, axes=axes, drawn=drawn, plotly_js=_plotly_js(), **told)


def plain_page(data: Any, sections: Sequence[Section], template: str) -> str:
    """Sections of tables and notes as one small HTML page, for a phone too; figures are the template's own.

    Args:
        data: with title, profile and whatever the template asks for.
    """
    return _environment().get_template(template).render(data=data, sections=sections)


def markdown_summary(data: ReportInput) -> str:
    """A compact Markdown table of the strategies, sparklines of equity, the verdict and what is known of luck."""
    book = prepare(data)
    found = verdict(book)
    title = f"**{_markdown(data.title)}** \u00b7 {data.start} to {data.end}"
    odds = significance_line(book)
    judged = [f"**{found.note.badge}.** {_markdown(found.line)}", _markdown(odds)]
    scores = [
        f"{_markdown(str(row['model']))}: mean rank IC {row['mean_rank_ic']:.3f} over {row['n_dates']:,} sessions, "
        f"Newey-West t {row['nw_t']:.1f}"
        for row in data.quality_summary
        if all(row.get(name) is not None for name in ("model", "mean_rank_ic", "n_dates", "nw_t"))
    ]
    blocks = [
        title,
        "  \n".join(f"**{_markdown(text)}**" for text in data.warnings),
        _markdown_table(book),
        _sparks(book),
        "  \n".join(part for part in judged if part),
        "  \n".join(scores),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def sparkline(values: pl.Series, width: int = SPARK_WIDTH) -> str:
    """Block characters from the lowest to the highest value, at most `width` of them, evenly spaced in rows."""
    known = values.drop_nulls().to_list()
    if not known:
        return ""
    n = min(width, len(known))
    picked = [known[round(k * (len(known) - 1) / max(n - 1, 1))] for k in range(n)]
    low, span = min(picked), max(picked) - min(picked)
    return "".join(SPARKS[round((value - low) / span * (len(SPARKS) - 1)) if span > 0 else 0] for value in picked)


def report_sections(book: Prepared) -> list[Section]:
    """What the page shows, in order; the regimes are left out where no label was given."""
    made = [
        comparison_section(book),
        summary_section(book, verdict(book)),
        promotion_section(book),
        performance_section(book),
        attribution_section(book),
        regime_section(book),
        risk_section(book),
        portfolio_section(book),
        trades_section(book),
        forecasts_section(book),
        models_section(book),
        robustness_section(book),
        limits_section(book),
    ]
    return [replace(section, blocks=paired(section.blocks)) for section in made if section is not None]


def _markdown_table(book: Prepared) -> str:
    table = book.measured
    columns = [name for name in COMPARED if name in table.columns]
    head = ["strategy", *(spec(name).label for name in columns)]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for row in table.iter_rows(named=True):
        name = _markdown(row["strategy"])
        shown = [f"**{name}**" if row["strategy"] == book.strategy else name]
        lines.append(f"| {' | '.join(shown + [write(column, row[column]) for column in columns])} |")
    return "\n".join(lines)


def _sparks(book: Prepared) -> str:
    lines = [f"`{sparkline(book.growth[book.strategy])}` {_markdown(book.strategy)}"]
    if book.has_benchmark:
        lines.append(f"`{sparkline(book.growth[BENCHMARK_KEY])}` {_markdown(book.benchmark_name)}")
    return "  \n".join(lines)


def _markdown(text: str) -> str:
    """Text that cannot end a Markdown table cell or open an element."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|").replace("\n", " ")


@lru_cache(maxsize=1)
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("quant_core.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(breakable=_breakable, prose=_prose, defused=defused)
    return made


def _prose(text: str) -> "Markup":
    """Escaped text whose dates stay on one line."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"\d{4}-\d\d(?:-\d\d)?", r'<span class="day">\g<0></span>', str(escape(text))))


def _breakable(text: str) -> "Markup":
    """Escaped text that may break after an underscore, as names of strategies do in narrow columns."""
    from markupsafe import Markup, escape

    return Markup(str(escape(text)).replace("_", "_<wbr>"))


@lru_cache(maxsize=1)
def _plotly_js() -> str:
    """Plotly's script as its package ships it, complete: there is no smaller bundle in it. It holds no closing tag."""
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())
