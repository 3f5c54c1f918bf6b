"""The keys of the features table, and the names by which its columns tell what they are."""

import dataframely as dy

#: One-day channels, and facts of a company that are numbers only by name (the code of its sector).
CHANNEL_PREFIX, STATIC_PREFIX = "channel_", "static_"


class Features(dy.Schema):
    """Keys of the features table; the feature columns beside them come from the registry and the profile."""

    date = dy.Date(primary_key=True)
    ticker = dy.String(primary_key=True)
    is_eligible = dy.Bool()  # member, with enough history and few enough gaps as of this date
