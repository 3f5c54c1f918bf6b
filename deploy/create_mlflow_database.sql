-- MLflow and Dagster both have a table "runs": a database each.
CREATE DATABASE mlflow;
