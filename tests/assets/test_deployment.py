"""What is shipped to run the lab on other machines: settings that Dagster reads, manifests that Kubernetes would take.

`make deploy-check` installs what the tests of Kubernetes need; without it they say so and are skipped.
"""

import importlib.util
import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster._config import process_config, resolve_to_config_type
from dagster._core.instance.config import dagster_instance_config
from lab_process import ROOT

from quant_assets.assembly import build_definitions
from quant_assets.instance import executors, home
from quant_assets.instance_storage import POSTGRES_VARIABLE, LabInstance
from quant_assets.profile import load_profile
from quant_core.errors import DataError

DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
LOOPBACK = "127.0.0.1:"
SHIPPED = yaml.safe_load((ROOT / "dagster_home" / "dagster.yaml").read_text())


def documents() -> list[dict[str, Any]]:
    """Every resource, rendered by kubectl where it is installed, else as the files have it."""
    if shutil.which("kubectl"):
        done = subprocess.run(["kubectl", "kustomize", str(KUBERNETES)], check=True, capture_output=True, text=True)
        return [one for one in yaml.safe_load_all(done.stdout) if one]
    names = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())["resources"]
    return [one for name in names for one in yaml.safe_load_all((KUBERNETES / name).read_text()) if one]


def named(kind: str) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in documents() if one["kind"] == kind}


def values(tree: Any) -> Iterator[tuple[str, Any]]:
    """(key, value) of every entry below."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield str(key), value
            yield from values(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from values(value)


# ---- Dagster's settings -------------------------------------------------------------------------------------------


def test_the_settings_of_containers_are_the_projects_own_read_by_dagster(tmp_path: Path) -> None:
    shutil.copy(DEPLOY / "dagster.yaml", tmp_path)
    found, instance_class = dagster_instance_config(str(tmp_path))
    assert instance_class is LabInstance
    assert {key: found[key] for key in SHIPPED} == SHIPPED


def test_settings_without_a_word_of_postgres_are_refused_where_it_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    home.prepare_home(tmp_path)
    if importlib.util.find_spec("dagster_postgres") is None:
        pytest.skip("the extra postgres is not installed")
    monkeypatch.setenv(POSTGRES_VARIABLE, "postgresql://lab@127.0.0.1/lab")
    with pytest.raises(DataError, match="instance_class"):
        home.prepare_home(tmp_path)


def test_the_wheel_has_the_settings_where_a_command_looks_for_them() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert included["dagster_home/dagster.yaml"] == str(home.SHIPPED.relative_to(ROOT))


# ---- Docker -------------------------------------------------------------------------------------------------------


def test_compose_opens_ports_on_loopback_only_and_holds_no_secret() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    assert set(services) == {"postgres", "minio", "bucket", "mlflow", "code", "webserver", "daemon"}
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert len(ports) == 3
    assert all(port.startswith(LOOPBACK) for port in ports)
    for service in services.values():
        for key, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|POSTGRES_URL|STORE_URI", key):
                assert "${" in value, key
    for line in (DEPLOY / "compose.env.example").read_text().splitlines():
        assert not re.match(r"\w*PASSWORD=.", line)


def test_the_image_copies_what_exists_and_nobody_in_it_is_root() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    for line in re.findall(r"^COPY (?!--from)(?:--\S+ )?(.+)$", text, re.MULTILINE):
        for name in line.split()[:-1]:
            assert (ROOT / name).exists(), name
    assert text.rindex("USER lab") > text.rindex("RUN ")
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert "*" in ignored
    assert not {"!data", "!dagster_home", "!.env"} & set(ignored)


# ---- Kubernetes ---------------------------------------------------------------------------------------------------


def test_manifests_name_only_each_other() -> None:
    maps, accounts = named("ConfigMap"), named("ServiceAccount")
    if not shutil.which("kubectl"):
        maps["instance"] = {}
    for name, deployment in named("Deployment").items():
        template = deployment["spec"]["template"]
        assert deployment["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items(), name
        assert template["spec"]["serviceAccountName"] in accounts
        container = template["spec"]["containers"][0]
        told = [next(iter(one.items())) for one in container["envFrom"]]
        assert told == [("configMapRef", {"name": "lab"}), ("secretRef", {"name": "lab"})]
        assert {volume["configMap"]["name"] for volume in template["spec"]["volumes"]} <= set(maps)
        assert template["spec"]["securityContext"]["runAsNonRoot"]
    for name, service in named("Service").items():
        assert service["spec"]["selector"].items() <= (
            named("Deployment")[name]["spec"]["template"]["metadata"]["labels"].items()
        )
        assert service["spec"].get("type", "ClusterIP") == "ClusterIP"
    assert not named("Ingress")
    assert not named("Secret")
    assert not [key for key in maps["lab"]["data"] if re.search("SECRET|PASSWORD|TOKEN|POSTGRES", key)]


def test_runs_use_the_image_of_the_code_location() -> None:
    image = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())["images"][0]
    told = named("Deployment")["code"]["spec"]["template"]["spec"]["containers"][0]["env"]
    assert told == [{"name": "DAGSTER_CURRENT_IMAGE", "value": f"{image['name']}:{image['newTag']}"}]


def test_one_daemon_at_a_time() -> None:
    daemon = named("Deployment")["daemon"]["spec"]
    assert (daemon["replicas"], daemon["strategy"]["type"]) == (1, "Recreate")


def test_kubernetes_would_take_every_manifest() -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="`make deploy-check` installs kubernetes-validate")
    for one in documents():
        validate.validate(one, validate.latest_version(), strict=True)


def test_dagster_takes_the_settings_of_the_run_launcher(tmp_path: Path) -> None:
    launcher = pytest.importorskip("dagster_k8s", reason="`make deploy-check` installs the extra k8s").K8sRunLauncher
    shutil.copy(KUBERNETES / "dagster.yaml", tmp_path)
    found, instance_class = dagster_instance_config(str(tmp_path))
    assert instance_class is LabInstance
    config = found["run_launcher"]["config"]
    outcome = process_config(resolve_to_config_type(launcher.config_type()), config)
    assert outcome.success, outcome.errors
    assert (config["service_account_name"], config["job_namespace"]) == ("lab", "quant-lab")
    assert config["env_secrets"] == config["env_config_maps"] == ["lab"]


@pytest.mark.slow
def test_a_fit_that_needs_a_gpu_asks_for_one_and_others_do_not() -> None:
    job = pytest.importorskip("dagster_k8s.job", reason="`make deploy-check` installs the extra k8s")
    validate = pytest.importorskip("kubernetes_validate", reason="`make deploy-check` installs kubernetes-validate")
    from kubernetes.client import ApiClient

    graph = build_definitions(load_profile("demo")).resolve_job_def("train").graph
    asked = {}
    for node in graph.nodes:
        for op in getattr(node.definition, "nodes", []):
            if "dagster-k8s/config" not in op.tags:
                continue
            wanted = job.get_user_defined_k8s_config(op.tags)
            config = job.DagsterK8sJobConfig(job_image="quant-lab:0.1.0", dagster_home="/lab/dagster_home")
            made = job.construct_dagster_k8s_job(config, ["dagster"], "step", wanted, labels={})
            plain = ApiClient().sanitize_for_serialization(made)
            validate.validate(json.loads(json.dumps(plain)), validate.latest_version(), strict=True)
            resources = plain["spec"]["template"]["spec"]["containers"][0]["resources"]
            assert {"cpu", "memory"} <= set(resources["requests"])
            asked[op.name] = (resources.get("limits") or {}).get("nvidia.com/gpu")
    assert asked["tft__train"] == "1"
    assert asked["ridge__train"] is None


# ---- where steps work ---------------------------------------------------------------------------------------------


def test_an_executor_that_is_none_says_which_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(executors.VARIABLE, raising=False)
    assert executors.chosen_executor() is None
    monkeypatch.setenv(executors.VARIABLE, "celery")
    with pytest.raises(DataError, match="wanted one of local, ray, k8s"):
        executors.chosen_executor()


@pytest.mark.parametrize("name", executors.ELSEWHERE)
def test_an_executor_whose_packages_are_missing_says_what_to_install(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(executors.VARIABLE, name)
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
    with pytest.raises(DataError, match=rf"quant-lab\[{name}\]"):
        executors.chosen_executor()


@pytest.mark.parametrize("name", executors.ELSEWHERE)
def test_an_executor_is_dagsters_own(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(executors.ELSEWHERE[name][0], reason=f"the extra {name} is not installed")
    monkeypatch.setenv(executors.VARIABLE, name)
    found = executors.chosen_executor()
    assert found is not None
    assert found.name == name


def test_a_ray_worker_is_told_no_credentials() -> None:
    assert not [
        name for name in executors.TOLD if re.search("KEY|SECRET|TOKEN|PASSWORD|POSTGRES|WEBHOOK|MLFLOW_TR", name)
    ]
