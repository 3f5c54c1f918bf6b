"""Where the steps of a run work that Dagster's UI or daemon launches: processes here, Ray workers or Kubernetes pods.

QUANT_EXECUTOR chooses. What a fit needs of a machine (cores, memory, a GPU) is in the tags of its op, which both of the
others read (`fitting.pool_and_tags`). Jobs of quick steps and `quant run` stay in one process whatever it says.
"""

import importlib.util
import os
from typing import Any

import dagster as dg

from quant_core.errors import DataError

VARIABLE = "QUANT_EXECUTOR"
#: name -> (module, the extra that installs it).
ELSEWHERE = {"ray": ("dagster_ray", "ray"), "k8s": ("dagster_k8s", "k8s")}
#: What a Ray worker must be told of the run. Credentials are not among them, for Ray shows a job's variables to whoever
#: opens its page: those (AWS_SECRET_ACCESS_KEY, QUANT_POSTGRES_URL, ...) belong to the workers' own environment.
TOLD = (
    "DAGSTER_HOME", VARIABLE, "QUANT_DATA", "QUANT_PROFILE", "QUANT_SOURCE", "QUANT_SOURCE_PATH", "QUANT_LOG_LEVEL",
    "QUANT_LOG_FORMAT", "QUANT_MLFLOW_PORT", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION", "OMP_NUM_THREADS",
)  # fmt: skip


def chosen_executor() -> dg.ExecutorDefinition | None:
    """The executor that QUANT_EXECUTOR names; None for Dagster's own, a process a step on this machine.

    Raises:
        DataError: no such executor, or its packages are not installed.
    """
    name = os.environ.get(VARIABLE) or "local"
    if name == "local":
        return None
    if name not in ELSEWHERE:
        raise DataError(f"{VARIABLE}: {name!r} is no executor; wanted one of local, {', '.join(ELSEWHERE)}.")
    module, extra = ELSEWHERE[name]
    if importlib.util.find_spec(module) is None:
        raise DataError(f"{VARIABLE}: {name} needs {module}; run `pip install 'quant-lab[{extra}]'`.")
    return _ray() if name == "ray" else _kubernetes()


def _ray() -> dg.ExecutorDefinition:
    """A Ray job a step, on the cluster of RAY_ADDRESS."""
    from dagster_ray import ray_executor

    told = [variable for variable in TOLD if os.environ.get(variable)]
    return ray_executor.configured(lambda given: _with(given, told), "ray", ray_executor.config_schema)


def _with(given: Any, told: list[str]) -> Any:
    """A run's configuration of the executor, and the variables that every worker is told."""
    ray = dict(given.get("ray") or {})
    return {**given, "ray": {**ray, "env_vars": [*told, *(ray.get("env_vars") or [])]}}


def _kubernetes() -> dg.ExecutorDefinition:
    """A pod a step, as the instance's run launcher makes them: its image, service account, variables and secrets."""
    from dagster_k8s import k8s_job_executor

    return k8s_job_executor
