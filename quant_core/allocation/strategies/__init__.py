"""One idea a file: every module here registers a strategy with its decorator, and dropping in a new file is all it
takes. See docs/adding-a-strategy.md.
"""
