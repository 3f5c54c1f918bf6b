"""What a result says of itself: statistics of returns, trades and scores. Plain functions over arrays and tables.

Nothing here trades, fits or decides; how returns come about is `trading`'s.
"""
