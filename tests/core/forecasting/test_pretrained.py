"""A forecaster that begins with an encoder: where its weights come from, and encoders that it refuses."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from model_cases import FOLD, HORIZON, Case, case_of

from quant_core.errors import DataError, LookaheadError
from quant_core.forecasting.models import transformer_pretrained as module

SETTINGS = {"horizon_sessions": HORIZON, "d_model": 8, "sequence_sessions": 4, "epochs": 1, "windows_per_epoch": 256,
            "batch_size": 64, "threads": 1}  # fmt: skip


@pytest.fixture(scope="module")
def case() -> Case:
    return case_of(module.NAME)


def config(**settings: object) -> module.TransformerPretrainedConfig:
    return module.TransformerPretrainedConfig(**(SETTINGS | settings))


def test_it_begins_with_the_encoders_weights_which_a_rate_of_zero_leaves_alone(case: Case) -> None:
    encoder = case.encoder
    assert encoder is not None
    fitted = case.model.fit(case.data, config(pretrained_rate_share=0.0, weight_decay=0.0), lambda *_: None)
    kept = {name.removeprefix("body."): value for name, value in encoder.arrays.items() if name.startswith("body.")}
    assert len(kept) > 10
    for name, value in kept.items():
        assert np.array_equal(fitted.arrays[f"seed0.body.network.tokens.{name}"], value), name
    assert fitted.manifest.facts["encoder"]["content_hash"] == encoder.content_hash
    moved = case.model.fit(case.data, config(), lambda *_: None)
    assert any(
        not np.array_equal(moved.arrays[f"seed0.body.network.tokens.{name}"], value) for name, value in kept.items()
    )


def test_its_shape_is_the_encoders_and_its_heads_are_as_wide_as_its_own_settings_say(case: Case) -> None:
    fitted = case.model.fit(case.data, config(), lambda *_: None)
    shape = fitted.manifest.facts["encoder"]
    assert (shape["patch_size"], shape["d_model"], shape["layers"]) == (2, 16, 1)
    assert fitted.arrays["seed0.body.network.join.weight"].shape == (8, 32)
    assert fitted.manifest.columns == case.encoder.manifest.columns  # type: ignore[union-attr]


def test_a_fold_without_an_encoder_is_refused_with_the_remedy(case: Case) -> None:
    with pytest.raises(DataError, match="materialize the asset encoder of this fold first"):
        case.model.fit(replace(case.data, encoder=None), config(), lambda *_: None)


def test_an_encoder_that_has_seen_more_than_the_labels_is_refused(case: Case) -> None:
    encoder = case.encoder
    assert encoder is not None
    assert encoder.manifest.fit_end <= case.labels["label_end_date"].max()  # type: ignore[operator]
    late = replace(encoder.manifest, fit_end=FOLD.test_start - timedelta(days=1))
    with pytest.raises(LookaheadError, match="fit_end 2019-12-31 is after"):
        case.model.fit(replace(case.data, encoder=replace(encoder, manifest=late)), config(), lambda *_: None)


def test_an_encoder_of_other_windows_or_channels_is_refused_by_name(case: Case) -> None:
    with pytest.raises(DataError, match=r"sequence_sessions is 6, the encoder's 4; set forecaster_transformer"):
        case.model.fit(case.data, config(sequence_sessions=6), lambda *_: None)
    lost = replace(case.data, columns=("channel_return_1d",))
    with pytest.raises(DataError, match=r"the encoder reads \['channel_gap_1d'\], the features lack them"):
        case.model.fit(lost, config(), lambda *_: None)
    with pytest.raises(DataError, match=r"wanted \[channels\]"):
        config(inputs=("raw",))
