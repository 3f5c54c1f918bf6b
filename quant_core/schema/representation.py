"""The keys of the embeddings table."""

import dataframely as dy


class Embeddings(dy.Schema):
    """Keys of the embeddings table; beside them stand float32 columns `embedding_000` ..., as many as the encoder's
    d_model."""

    date = dy.Date(primary_key=True)
    ticker = dy.String(primary_key=True)
    fold = dy.String()  # whose encoder made the row
    fit_end = dy.Date()  # last date that the encoder's fit has read
