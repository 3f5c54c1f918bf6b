"""What `quant dev` asks of the UI that it serves, through its API: schedule and sensors on, dead code servers again."""

import json
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPException
from typing import Any

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType

from quant_core.errors import QuantError

LOOK_UP = """{repositoriesOrError {... on RepositoryConnection {nodes {
    name location {name}
    schedules {name scheduleState {status}}
    sensors {name sensorState {status}}}}}}"""
SWITCH = """mutation($it: %(kind)sSelector!) {switched: start%(kind)s(%(argument)sSelector: $it) {
    __typename ... on PythonError {message}}}"""
LOCATIONS = """{workspaceOrError {... on Workspace {locationEntries {
    name locationOrLoadError {... on PythonError {className}}}}}}"""
RELOAD = "mutation($name: String!) {reloadRepositoryLocation(repositoryLocationName: $name) {__typename}}"
#: What the UI says of a code server that is gone; definitions that cannot be loaded fail otherwise.
GONE = "DagsterUserCodeUnreachableError"
#: The UI is on this machine, whatever proxy the environment names.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def is_untouched() -> bool:
    """Whether nobody has ever switched a schedule of this instance on or off."""
    with dg.DagsterInstance.get() as instance:
        return not instance.all_instigator_state(instigator_type=InstigatorType.SCHEDULE)


def switch_on(url: str) -> list[str] | None:
    """Switch on every schedule and sensor that is off; their names, or None while the UI has not loaded them.

    Args:
        url: of the UI, e.g. http://127.0.0.1:3000.
    Raises:
        QuantError: the UI refuses one.
    """
    with suppress(OSError):
        found = _ask(url, LOOK_UP)["repositoriesOrError"].get("nodes") or []
        off = [entry for repository in found for entry in _switched_off(repository)]
        for kind, selector in off:
            _switch(url, kind, selector)
        return [selector[f"{kind.lower()}Name"] for kind, selector in off] if found else None
    return None


def revive_code_servers(url: str) -> list[str]:
    """Have the code servers that died started again; of which locations.

    Dagster 1.13.27 itself does that only when a person reloads the location: until then nothing runs, by hand or by
    itself.

    Args:
        url: of the UI; nothing is done while it does not answer.
    """
    revived = []
    with suppress(OSError, HTTPException):
        for entry in _ask(url, LOCATIONS)["workspaceOrError"].get("locationEntries") or []:
            if (entry["locationOrLoadError"] or {}).get("className") == GONE:
                _ask(url, RELOAD, name=entry["name"])
                revived.append(entry["name"])
    return revived


def _switched_off(repository: dict[str, Any]) -> Iterator[tuple[str, dict[str, str]]]:
    """(Schedule or Sensor, its selector) of what is off in one code location."""
    where = {"repositoryName": repository["name"], "repositoryLocationName": repository["location"]["name"]}
    for kind in ("Schedule", "Sensor"):
        name = kind.lower()
        for entry in repository[f"{name}s"]:
            if entry[f"{name}State"]["status"] != "RUNNING":
                yield kind, where | {f"{name}Name": entry["name"]}


def _switch(url: str, kind: str, selector: dict[str, str]) -> None:
    answer = _ask(url, SWITCH % {"kind": kind, "argument": kind.lower()}, it=selector)["switched"]
    if answer["__typename"] not in ("ScheduleStateResult", "Sensor"):
        raise QuantError(f"{selector}: not switched on ({answer.get('message', answer['__typename'])}); use the UI.")


def _ask(url: str, query: str, **variables: Any) -> Any:
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(f"{url}/graphql", body, {"Content-Type": "application/json"})
    with _DIRECT.open(request, timeout=30) as response:
        return json.load(response)["data"]
