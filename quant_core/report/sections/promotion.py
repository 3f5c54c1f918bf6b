"""Which candidates may be traded, and why the others may not: the gate's answers beside each other."""

import polars as pl

from quant_core.report.blocks import Block, Note, Section, frame_table
from quant_core.report.formats import MISSING, listed, plural, ratio
from quant_core.report.inputs import Prepared
from quant_core.schema import NOT_PROMOTED, OPEN, PROMOTED, RIVALS


def promotion_section(book: Prepared) -> Section:
    """A sentence and a table; a note where no book is a candidate."""
    if book.promotion.is_empty():
        return Section("promotion", "Promotion", (Note("No book is a candidate: the lab's baselines are not judged."),))
    table = frame_table(
        "gate",
        "The gate",
        gate_rows(book),
        unit="Sharpe ratios a year net of twice the costs, over the sessions shared with all rivals",
        caption="A lead is the candidate's Sharpe ratio less the rival's, with its 95\u202f% interval (stationary "
        "bootstrap, both drawn together). Own tries: histories of the candidate's family, and settings that were tried "
        "on validation slices and not taken. Deflated: probability that the true ratio is above the best to expect "
        "from so many tries without skill.",
        labels={"strategy": "Candidate", "status": "Answer", "n_own_trials": "Own tries", "reasons": "Why not"}
        | {f"over {name}": f"Over {name}" for name in RIVALS.values()},
        marked=book.strategy,
    )
    blocks: tuple[Block, ...] = (Note(gate_line(book), "Gate"), table)
    return Section("promotion", "Promotion", blocks)


def gate_line(book: Prepared) -> str:
    """How many candidates there are, and which of them are promoted, or are left open."""
    by_status = {
        status: book.promotion.filter(pl.col("status") == status)["strategy"].to_list()
        for status in (PROMOTED, OPEN, NOT_PROMOTED)
    }
    text = f"Of {plural(book.promotion.height, 'candidate')} {listed(by_status[PROMOTED]) or 'none'} "
    text += f"{'are' if len(by_status[PROMOTED]) > 1 else 'is'} promoted"
    left = by_status[OPEN]
    return text + (f"; {listed(left)} cannot be judged, as a rival is missing." if left else ".")


def gate_rows(book: Prepared) -> pl.DataFrame:
    """One row a candidate, the best first, with its leads as text."""
    columns = ("strategy", "status", "sharpe_ann", "expected_max_sharpe_ann", "deflated_sharpe", "n_own_trials")
    leads = {(row["strategy"], row["rival"]): row for row in book.promotion_leads.iter_rows(named=True)}
    ordered = book.promotion.sort("sharpe_ann", "strategy", descending=[True, False], nulls_last=True)
    names, shown = ordered["strategy"], [key for key in RIVALS if key in book.promotion_leads["rival"]]
    texts = {f"over {RIVALS[key]}": [_lead(leads.get((name, key))) for name in names] for key in shown}
    return ordered.select(columns).with_columns(**{k: pl.Series(v, dtype=pl.String) for k, v in texts.items()},
                                                reasons=ordered["reasons"])  # fmt: skip


def _lead(row: dict[str, float | None] | None) -> str:
    """0.10 (-0.18 to 0.42)."""
    if row is None or row["lead_ann"] is None:
        return MISSING
    low, high = row["lead_low_ann"], row["lead_high_ann"]
    interval = "" if low is None or high is None else f" ({ratio(low)} to {ratio(high)})"
    return ratio(row["lead_ann"]) + interval
