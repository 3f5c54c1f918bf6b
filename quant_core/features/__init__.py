"""Features: clean prices in, one row per (date, ticker) of trailing measurements out.

A feature is one decorated function in a module of this package; dropping in a new file is all it takes. Features read
trailing sessions only (see `quant_core.causality`), and a value does not depend on how much older history is loaded.
"""

from quant_core.features.catalog import FEATURES, Feature, FeatureFunction, feature, require_windows
from quant_core.features.compute import compute_feature_blocks, compute_features
from quant_core.features.config import (
    FeatureConfig,
    feature_columns,
    features_of,
    model_columns,
    warm_up_sessions,
)

__all__ = [
    "FEATURES",
    "Feature",
    "FeatureConfig",
    "FeatureFunction",
    "compute_feature_blocks",
    "compute_features",
    "feature",
    "feature_columns",
    "features_of",
    "model_columns",
    "require_windows",
    "warm_up_sessions",
]
