"""The registry: discovery, clear errors, no silent overwriting."""

import pytest

from quant_core.errors import QuantError, UnknownName
from quant_core.features import FEATURES
from quant_core.forecasting import MODELS
from quant_core.registry import Registry


def test_looking_up_a_name_finds_what_a_module_of_the_package_registered() -> None:
    assert "log_returns" in set(FEATURES)
    assert MODELS["ridge"].name == "ridge"


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnknownName, match=r"feature 'momentom' is unknown; known: .*momentum"):
        FEATURES["momentom"]


def test_a_name_cannot_be_taken_by_two_different_things() -> None:
    registry: Registry[object] = Registry("thing", "quant_core.forecasting.models")

    def first() -> None: ...
    def second() -> None: ...

    registry.register("same")(first)
    registry.register("same")(first)
    with pytest.raises(QuantError, match="registered twice"):
        registry.register("same")(second)
