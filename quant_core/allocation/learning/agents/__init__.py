"""One agent a file: its settings, and how it is trained."""
