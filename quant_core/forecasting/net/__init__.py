"""Forecasters that are networks: one fit and one prediction for all of them, whatever the network is inside.

A network reads windows of the inputs, says a score and a distribution at every horizon that it learns, and is stopped
where the validation slice's rank IC is best. Several seeds are fitted, and their mean is the forecast. A file in
`models/` says which network, and nothing else.
"""

from quant_core.forecasting.net.fit import fit_net
from quant_core.forecasting.net.said import predict_net
from quant_core.forecasting.net.settings import RESOURCES, Body, NetConfig, context_sessions

__all__ = ["RESOURCES", "Body", "NetConfig", "context_sessions", "fit_net", "predict_net"]
