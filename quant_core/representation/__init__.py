"""What windows of one-day channels look like, learned without labels: a masked encoder a fold, and its embeddings.

What belongs here: settings, the fit, and embeddings as a table. What does not: networks (`quant_core.nn.masked`), and
what is made of an encoder elsewhere, which meets it as an artifact only.
"""

from quant_core.representation.masked_encoder import MaskedEncoderConfig

__all__ = ["MaskedEncoderConfig"]
