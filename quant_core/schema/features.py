"""The keys of the features table."""

import dataframely as dy


class Features(dy.Schema):
    """Keys of the features table; the feature columns beside them come from the registry and the profile."""

    date = dy.Date(primary_key=True)
    ticker = dy.String(primary_key=True)
    is_eligible = dy.Bool()  # member, with enough history and few enough gaps as of this date
