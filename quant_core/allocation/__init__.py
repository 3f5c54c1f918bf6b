"""Deciding what to hold: strategies from forecasts to target weights. Filling and accounting live in `trading`."""
