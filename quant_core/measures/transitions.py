"""How labels of consecutive sessions follow each other. What the labels mean, and finding them, belongs elsewhere."""

from collections.abc import Sequence

import polars as pl


def transitions(labels: pl.Series, states: Sequence[str] | None = None) -> pl.DataFrame:
    """How often one label followed another from a session to the next, and how long each stayed.

    Args:
        labels: one a session, consecutive, oldest first; none is null.
        states: every label in the order of the table; None for those that occur, by name.
    Returns:
        rows (regime, next_regime) of every pair, zeros included: `n_transitions`, `probability` (of next_regime after
        regime: n of the pair / n of all pairs that begin with regime; null where the regime is seen on the last session
        only, or never), and of `regime` alone `mean_duration_sessions` (mean length of its unbroken runs, the first and
        last run included although they may be cut; null where it is never seen).
    """
    frame = pl.DataFrame({"regime": labels.cast(pl.String)})
    ordered = sorted(set(frame["regime"])) if states is None else list(states)
    names = pl.DataFrame({"regime": ordered, "place": range(len(ordered))}, schema={"regime": pl.String, "place": int})
    pairs = frame.with_columns(pl.col("regime").shift(-1).alias("next_regime")).drop_nulls()
    counts = pairs.group_by("regime", "next_regime").len("n_transitions")
    runs = frame.with_columns(pl.col("regime").rle_id().alias("run"))
    durations = runs.group_by("regime").agg((pl.len() / pl.col("run").n_unique()).alias("mean_duration_sessions"))
    grid = names.join(names.rename({"regime": "next_regime", "place": "next_place"}), how="cross")
    leaving = pl.col("n_transitions").sum().over("regime")
    return (
        grid.join(counts, on=["regime", "next_regime"], how="left")
        .with_columns(pl.col("n_transitions").fill_null(0).cast(pl.Int32))
        .with_columns(pl.when(leaving > 0).then(pl.col("n_transitions") / leaving).alias("probability"))
        .join(durations, on="regime", how="left")
        .sort("place", "next_place")
        .drop("place", "next_place")
    )
