"""Dagster's instance and its processes: home, databases, executors, whose run is alive, whose turn it is."""
