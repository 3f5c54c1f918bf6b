"""Experiment tracking: MLflow always, W&B beside it where asked; fitted folds as registered models."""
