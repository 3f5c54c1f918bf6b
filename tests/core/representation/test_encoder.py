"""An encoder of a small market: what it learns, what it may see, and its embeddings."""

from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl
import pytest
import torch
from markets import FIRST, FOLD, LAST, market, silent, small

from quant_core.calendar import sessions_before
from quant_core.causality import assert_causal
from quant_core.errors import DataError, LookaheadError
from quant_core.fitted import Fitted
from quant_core.folds import embargo_start
from quant_core.representation.embed import embedding_columns, embeddings
from quant_core.representation.pretrain import fit_encoder, task_of

WIDTH = 16


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    return market()


@pytest.fixture(scope="module")
def fitted(table: pl.DataFrame) -> Fitted:
    return fit_encoder(table.lazy(), FOLD, small(), silent)


def of(fitted: Fitted, features: pl.DataFrame, first: date = FIRST, last: date = LAST) -> pl.DataFrame:
    return embeddings({FOLD.name: fitted}, features.lazy(), first, last, WIDTH)


@pytest.mark.slow
def test_it_fills_in_better_than_the_patch_before_and_the_channels_mean(fitted: Fitted) -> None:
    facts = fitted.manifest.facts
    assert facts["reconstruction_error"] < 0.5 * facts["mean_error"] < 0.5 * facts["copied_error"]
    last = fitted.curve.row(-1, named=True)
    assert facts["reconstruction_error"] == fitted.curve["validation_reconstruction"].min()
    assert last["validation_mean"] == pytest.approx(1.0, abs=0.15)  # both channels have variance 1
    assert fitted.curve["validation_copied"].n_unique() == 1  # masks are fixed


def test_the_manifest_says_what_was_seen(fitted: Fitted, table: pl.DataFrame) -> None:
    manifest, limit = fitted.manifest, embargo_start(FOLD)
    assert manifest.columns == ("channel_return_1d", "channel_range_1d")
    assert manifest.fit_end == table.filter(pl.col("date") < limit)["date"].max()
    assert manifest.fit_start == date(2019, 1, 1)
    assert date.fromisoformat(manifest.facts["first_validation_date"]) < manifest.fit_end


def test_later_rows_change_no_byte_and_the_same_seed_gives_the_same_ones(table: pl.DataFrame) -> None:
    settings = small(epochs=1, windows_per_epoch=128)
    first = fit_encoder(table.lazy(), FOLD, settings, silent).to_bytes()
    late = pl.col("date") >= embargo_start(FOLD)
    other = table.with_columns(pl.when(late).then(99.0).otherwise("channel_range_1d").alias("channel_range_1d"))
    assert fit_encoder(other.lazy(), FOLD, settings, silent).to_bytes() == first
    assert fit_encoder(table.lazy(), FOLD, small(epochs=1, windows_per_epoch=128, seed=8), silent).to_bytes() != first
    earlier = table.with_columns(pl.when(~late).then(0.5).otherwise("channel_range_1d").alias("channel_range_1d"))
    assert fit_encoder(earlier.lazy(), FOLD, settings, silent).to_bytes() != first


def test_every_eligible_name_and_date_has_an_embedding_and_no_other(fitted: Fitted, table: pl.DataFrame) -> None:
    made = of(fitted, table)
    wanted = table.filter("is_eligible", pl.col("date") >= FIRST).select("date", "ticker").sort("date", "ticker")
    assert made.select("date", "ticker").equals(wanted)
    numbers = made.select(embedding_columns(WIDTH)).to_numpy()
    assert np.isfinite(numbers).all()
    assert numbers.std(axis=0).min() > 0.01
    assert made.select("fold", "fit_end").unique().row(0) == ("2020", fitted.manifest.fit_end)
    restored = Fitted.from_bytes(fitted.to_bytes())
    assert of(restored, table).equals(made)


def test_embeddings_never_read_the_future_and_a_planted_leak_is_caught(fitted: Fitted, table: pl.DataFrame) -> None:
    cut = date(2020, 2, 14)
    assert_causal(lambda rows: of(fitted, rows), table, cut)

    def leaking(rows: pl.DataFrame) -> pl.DataFrame:
        moved = pl.col("channel_return_1d").shift(-1).over("ticker", order_by="date")
        return of(fitted, rows.with_columns(moved))

    with pytest.raises(LookaheadError, match="embedding_"):
        assert_causal(leaking, table, cut)


def test_a_month_alone_equals_the_range_bit_for_bit(fitted: Fitted, table: pl.DataFrame) -> None:
    first, last = date(2020, 2, 1), date(2020, 2, 29)
    near = table.filter(pl.col("date").is_between(sessions_before(first, 19), last))
    alone, whole = of(fitted, near, first, last), of(fitted, table)
    assert alone.height > 100
    assert alone.equals(whole.filter(pl.col("date").is_between(first, last)))


def test_rows_that_the_fit_has_seen_are_refused_and_without_a_fold_there_is_no_row(
    fitted: Fitted, table: pl.DataFrame
) -> None:
    late = replace(fitted, manifest=replace(fitted.manifest, fit_end=FIRST))
    with pytest.raises(LookaheadError, match="fit_end"):
        of(late, table)
    none = embeddings({}, table.lazy(), FIRST, LAST, WIDTH)
    assert none.is_empty()
    assert none.schema == of(fitted, table).schema


def test_what_cannot_be_embedded_or_fitted_is_refused_with_the_remedy(fitted: Fitted, table: pl.DataFrame) -> None:
    with pytest.raises(DataError, match=r"\['channel_return_1d'\] are missing; enable daily_channels"):
        of(fitted, table.drop("channel_return_1d"))
    with pytest.raises(DataError, match="has d_model 16, wanted 8"):
        embeddings({"2020": fitted}, table.lazy(), FIRST, LAST, 8)
    short = table.filter(pl.col("date") >= date(2019, 12, 2))
    with pytest.raises(DataError, match=r"of 0 windows of 20 sessions none is left.*widen the training window"):
        fit_encoder(short.lazy(), FOLD, small(), silent)
    with pytest.raises(DataError, match="of 0 windows"):
        fit_encoder(table.with_columns(is_eligible=False).lazy(), FOLD, small(), silent)


def test_training_and_stopping_share_no_session(table: pl.DataFrame) -> None:
    task = task_of(table.lazy(), FOLD, small(), 5)
    assert int(task.newer[:, 1].min()) - int(task.older[:, 1].max()) == 20
    assert int(task.older[:, 1].min()) >= 19


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is present")
def test_a_gpu_learns_as_much_and_its_artifact_embeds_on_the_cpu(fitted: Fitted, table: pl.DataFrame) -> None:
    on_gpu = fit_encoder(table.lazy(), FOLD, small(device="cuda"), silent)
    error = fitted.manifest.facts["reconstruction_error"]
    assert on_gpu.manifest.facts["reconstruction_error"] == pytest.approx(error, rel=0.2)
    assert of(on_gpu, table).height == of(fitted, table).height
