"""The market, as far as it is no crisis."""

from collections.abc import Iterable

import polars as pl

from quant_core.allocation.config import AllocationConfig
from quant_core.allocation.strategies.buy_hold_index import buy_and_hold_index
from quant_core.allocation.strategy import STRATEGIES, DecisionInputs, known_on
from quant_core.schema import CRISIS, REGIME_PROBABILITIES


@STRATEGIES.register("regime_gated")
def regime_gated(inputs: DecisionInputs) -> pl.DataFrame:
    """The price index by the share 1 - P(Crisis), moved only by large changes; the rest is cash.

    What `exposures` says of the newest session on or before the decision. It begins anew with each fold, whose
    parameters are others, so that a month decided alone equals the same month in a long run. A decision that knows no
    regime decides nothing, and the book is kept.

    Source: exposure that falls as risk rises, Moreira and Muir (2017), Volatility-managed portfolios; a band against
    costs, Garleanu and Pedersen (2013), Dynamic trading with predictable returns and transaction costs.
    """
    crisis = REGIME_PROBABILITIES[CRISIS]
    gated = [
        rows.select("date", "fold", exposure=pl.Series(exposures(rows[crisis], inputs.config), dtype=pl.Float64))
        for rows in inputs.regimes.partition_by("fold", maintain_order=True)
    ]
    index = buy_and_hold_index(inputs)
    if not gated:
        return index.clear()
    exposure = known_on(inputs.decision_dates, pl.concat(gated)).select("date", "exposure")
    return index.join(exposure, on="date").select("date", "ticker", weight=pl.col("weight") * pl.col("exposure"))


def exposures(prob_crisis: Iterable[float], config: AllocationConfig) -> list[float]:
    """Share of the index held after each of consecutive sessions of one fold.

    Wanted is max(floor, 1 - p), and the floor from the first p > crisis_enter until p < crisis_leave. What is held
    follows it where it enters or leaves that state, or where the two differ by more than exposure_band.
    """
    held, inside, found = None, False, []
    for p in prob_crisis:
        before, inside = inside, p >= config.crisis_leave if inside else p > config.crisis_enter
        wanted = config.exposure_floor if inside else max(config.exposure_floor, 1.0 - p)
        if held is None or inside != before or abs(wanted - held) > config.exposure_band:
            held = wanted
        found.append(held)
    return found
