"""Everything Dagster: assets, partitions, storage, automation, the command line. Dagster and mlflow stay here."""

import warnings

import dagster as dg

# Partitioned checks and backfill policies are marked beta and preview; the lab pins the version it was measured on.
for category in (dg.BetaWarning, dg.PreviewWarning):
    warnings.filterwarnings("ignore", category=category)
