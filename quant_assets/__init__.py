"""Everything Dagster: assets, partitions, storage, automation, the command line. Dagster and mlflow stay here."""
