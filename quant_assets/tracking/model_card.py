"""What a person must know of a fitted fold before using it, on one page of Markdown."""

from collections.abc import Mapping
from typing import Any

from quant_core.fitted import Fitted
from quant_core.folds import Fold

#: Inputs that are named; the manifest has all of them.
NAMED = 12
#: Arrays that are no parameters of the model.
BESIDE = ("calibration.", "explain.")


def model_card(
    asset: str, description: str, profile: str, own: Fold, fitted: Fitted, seen: Mapping[str, Any], registered: str
) -> str:
    """The card.

    Args:
        seen: what the machine said of the fit: `seconds`, `device`, `process_peak_memory_gib`, `gpu_peak_memory_gib`.
        registered: name and version of the registered model.
    """
    rows = {
        "Profile and fold": f"{profile}, {own.name}: for the sessions {own.test_start} to {own.test_end}",
        **_window(fitted),
        **_validation(fitted),
        "Calibration": _told(fitted.manifest.facts.get("calibration", "none")),
        "Parameters": f"{parameters(fitted):,}",
        "Seeds": _seeds(fitted.manifest.config),
        "Made in": _made(seen),
        "MLflow": f"[run]({seen['mlflow_run']}), registered as {registered}",
        "Settings": _told(fitted.manifest.config),
    }
    table = "\n".join(f"| {name} | {text} |" for name, text in rows.items())
    return f"# {asset}, {own.name}\n\n{description}\n\n| | |\n|---|---|\n{table}\n\n{_use(profile, own, fitted)}\n"


def parameters(fitted: Fitted) -> int:
    """Numbers that the fit chose, all seeds together."""
    return sum(array.size for name, array in fitted.arrays.items() if not name.startswith(BESIDE))


def _window(fitted: Fitted) -> dict[str, str]:
    seen = fitted.manifest
    names = ", ".join(seen.columns[:NAMED]) + (", ..." if len(seen.columns) > NAMED else "")
    return {
        "Fit window": f"{seen.fit_start} to {seen.fit_end}, {seen.n_rows:,} rows",
        "Data hash": seen.data_hash,
        "Code version": seen.code_version,
        "Inputs": f"{len(seen.columns)}: {names}",
    }


def _validation(fitted: Fitted) -> dict[str, str]:
    told = fitted.manifest.facts.get("validation_slice")
    if not told or told["rank_ic"] is None:
        return {"Validation slice": "none was judged"}
    icir = "" if told["icir"] is None else f", ICIR {told['icir']:.2f} a day"
    days = f"{told['first']} to {told['last']}, {told['dates']} dates"
    return {"Validation slice": f"{days}: mean rank IC {told['rank_ic']:.4f}{icir}"}


def _seeds(config: Mapping[str, Any]) -> str:
    return f"{config['seed']}, {config.get('n_seeds', 1)} of them" if "seed" in config else "none drawn"


def _made(seen: Mapping[str, Any]) -> str:
    gpu = f", {seen['gpu_peak_memory_gib']} GiB of it at most" if "gpu_peak_memory_gib" in seen else ""
    process = f"{seen['process_peak_memory_gib']} GiB of memory at most"
    return f"{seen['seconds']} s on {seen['device']}{gpu}; the process had {process}"


def _use(profile: str, own: Fold, fitted: Fitted) -> str:
    """Intended use, and limits."""
    return (
        f"Intended use: research on {profile} between {own.test_start} and {own.test_end}, as one of the lab's inputs "
        "and under its guard against rows that the fit has seen; it is no advice to trade.\n"
        f"Limits: it knows nothing after {fitted.manifest.fit_end} and only what its inputs say, and the figures of "
        "the validation slice flatter it, since they chose its settings."
    )


def _told(value: Any) -> str:
    """A value as a cell of a table."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_told(inner)}" for name, inner in value.items())
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value).replace("|", "\\|")
