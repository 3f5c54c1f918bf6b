"""Network blocks, losses, windows and the one training loop, shared by the encoder and every forecaster.

Tensors are (B, T, D): batch, time, channels. Nothing here knows tables, folds or an orchestrator. torch is imported
here and nowhere at definition time.
"""
