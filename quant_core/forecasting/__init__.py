"""Labels, forecasters and the scoring of forecasts.

A forecaster is one module in `models/` that registers a `Model`; it meets other stages only as tables and artifacts.
"""

from quant_core.forecasting.model import MODELS, ForecasterConfig, Model, TrainingData

__all__ = ["MODELS", "ForecasterConfig", "Model", "TrainingData"]
