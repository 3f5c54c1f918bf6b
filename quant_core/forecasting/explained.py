"""What a network's forecasts rest on: its own weights or its gradients, averaged over rows of its validation slice.

A hook says it of each row of a batch; the averages are arrays `explain.<part>` of the artifact, the names behind them
are in the manifest's facts. What any model loses without an input is `importance`'s.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from quant_core.dense import Floats
from quant_core.fitted import Fitted
from quant_core.forecasting.sequences import CALENDAR, Batch, Sequences

if TYPE_CHECKING:
    from torch import Tensor, nn

#: (network, batch) -> by part, a row of weights for each row of the batch.
Explain = Callable[["nn.Module", Batch], Mapping[str, "Tensor"]]
PREFIX, NAMES = "explain.", "explained"
#: Rows that are averaged, spread evenly over the slice, and how many at a time.
MOST_ROWS, AT_ONCE = 2048, 256
#: Parts whose weights are of variables, in the order in which they are shown, and those that are of sessions.
OF_VARIABLES, OF_SESSIONS = ("past", "channels", "future", "static"), ("attention", "lags")


def averaged(network: "nn.Module", data: Sequences, rows: "Tensor", explain: Explain) -> dict[str, Floats]:
    """Means of what `explain` says of at most MOST_ROWS of the rows: `explain.<part>`, each of one dimension."""
    import torch

    chosen = rows[:: -(-len(rows) // MOST_ROWS)]
    total: dict[str, Floats] = {}
    with torch.no_grad():
        for piece in chosen.split(AT_ONCE):
            for part, values in explain(network.eval(), data.batch(piece)).items():
                found = values.detach().double().sum(dim=0).cpu().numpy() / len(chosen)
                name = f"{PREFIX}{part}"
                total[name] = total[name] + found if name in total else found
    return total


def gradients(network: "nn.Module", batch: Batch) -> dict[str, "Tensor"]:
    """Sizes of the integrated gradients: `channels` (B, F) summed over sessions, `lags` (B, L) over channels."""
    from quant_core.nn.attribution import integrated_gradients

    size = integrated_gradients(network, *batch).abs()  # (B, L, F)
    return {"channels": size.sum(dim=1), "lags": size.sum(dim=2)}


def mean_of(fits: Sequence[Mapping[str, Floats]]) -> dict[str, Floats]:
    """The seeds' mean."""
    return {name: np.mean([found[name] for found in fits], axis=0) for name in fits[0]}


def names_of(parts: Sequence[str], columns: Sequence[str], has_sectors: bool) -> dict[str, list[str]]:
    """What the weights of each part of variables belong to, by `explain.<part>`'s part."""
    known = {
        "past": [*columns, *(f"calendar.{name}" for name in CALENDAR)],
        "channels": list(columns),
        "future": [f"ahead.{name}" for name in CALENDAR],
        "static": [*(["static.sector"] if has_sectors else []), "static.liquidity"],
    }
    of = [part.removeprefix(PREFIX) for part in parts]
    return {part: known[part] for part in OF_VARIABLES if part in of}


def importance(fitted: Fitted) -> pl.DataFrame:
    """Weights of the variables that a network said, as shares of their part.

    Returns:
        rows (feature, importance_share, part), the past's first and in each part the greatest; none where nothing was
        said.
    """
    empty = pl.DataFrame(schema={"feature": pl.String, "importance_share": pl.Float64, "part": pl.String})
    names: Mapping[str, list[str]] = fitted.manifest.facts.get(NAMES, {})
    tables = [empty]
    for part in (part for part in OF_VARIABLES if part in names):
        weight = fitted.arrays[f"{PREFIX}{part}"]
        table = pl.DataFrame({"feature": names[part], "importance_share": weight / (weight.sum() or 1.0)})
        tables.append(
            table.sort(["importance_share", "feature"], descending=[True, False]).with_columns(part=pl.lit(part))
        )
    return pl.concat(tables)


def sessions_read(fitted: Fitted) -> pl.DataFrame:
    """How much of a forecast rests on each session of the window.

    Returns:
        rows (session, share), the oldest first: session 0 is the row's own, -1 the one before it, 1 the one after, of
        which only the calendar is known; shares sum to 1. No row where nothing was said.
    """
    empty = pl.DataFrame(schema={"session": pl.Int64, "share": pl.Float64})
    part = next((name for part in OF_SESSIONS if (name := f"{PREFIX}{part}") in fitted.arrays), None)
    if part is None:
        return empty
    weight, first = fitted.arrays[part], 1 - int(fitted.manifest.config["sequence_sessions"])
    session = np.arange(first, first + len(weight), dtype=np.int64)
    return pl.DataFrame({"session": session, "share": weight / (weight.sum() or 1.0)}, schema=empty.schema)
