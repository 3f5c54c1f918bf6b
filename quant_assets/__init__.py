"""Everything Dagster: assets, partitions, storage, automation and the command line. The only importer of dagster and mlflow."""
