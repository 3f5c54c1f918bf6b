"""The register of everything that was tried: one return history for each different bet of a profile.

Every backtest enters its strategies here beside its MLflow run; nothing is ever taken out. Reports deflate by what the
register holds (`quant_core.measures.luck`). What counts as the same bet is `trials_like` of `measures.overfitting`; a
longer or restated run of one supersedes its history, and the entry says so.

Histories are Parquet files named by their content. Which of them count, in which order they were tried and whose they
are, is in the index (`trial_index`). A history that is gone, or is not what the index says, is lost: it still counts as
a try, and every report says that it is.
"""

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any

import polars as pl
from upath import UPath

from quant_assets.experiments.trial_index import Index, append, locked, read_index
from quant_assets.storage.partition_files import local_path, write_table
from quant_assets.storage.paths import safe_name
from quant_core.measures.luck import Luck, histories, luck_of
from quant_core.measures.overfitting import trials_like

RETURNS = ("simple_return_1d", "risk_free_return_1d", "benchmark_return_1d")
COLUMNS = ("date", *RETURNS)
SCHEMA: Mapping[str, Any] = {
    "trial": pl.String, "strategy": pl.String, "is_shipped": pl.Boolean, "date": pl.Date,
} | dict.fromkeys(RETURNS, pl.Float64)  # fmt: skip
EQUAL = 1e-12
#: Strategies that the lab ships as baselines; with the profile's own settings their first history is no researcher's.
SHIPPED = frozenset({
    "buy_hold_index", "equal_risk_contribution", "equal_weight", "hierarchical_risk_parity", "inverse_volatility",
    "min_variance", "momentum", "regime_gated", "regime_switched", "top_n_ridge",
})  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """What the index says of one try.

    Args:
        trial: its name: the strategy and a digest of the history that it was entered with.
        strategy: whose returns they are.
        is_shipped: a baseline of the lab, run with the profile's own settings.
        settings: digest of what the run changed against the profile; "" for nothing.
        file: name of the history's file.
        digest: of the history's content.
    """

    trial: str
    strategy: str
    is_shipped: bool
    settings: str
    file: str
    digest: str


@dataclass(frozen=True)
class Witness:
    """What was noted of a register elsewhere: the hash of its newest entry and how many trials it counted."""

    head: str
    n_trials: int

    @property
    def heads(self) -> list[str]:
        """Hash by hash; none of an empty register."""
        return self.head.split(",") if self.head else []


@dataclass(frozen=True)
class Register:
    """A profile's register as it was found.

    Args:
        trials: every try, in the order in which they were made.
        rows: the histories that are whole: trial, strategy, is_shipped, date and returns, in the same order.
        luck: the hurdle as the newest entry has it; None for an empty register.
        n_lost: tries without a whole history.
        problems: what was deleted or edited, for a reader.
    """

    index: Index
    trials: tuple[Trial, ...]
    rows: pl.DataFrame
    luck: Luck | None
    n_lost: int
    problems: tuple[str, ...]

    @property
    def witness(self) -> Witness:
        """What to note elsewhere."""
        return Witness(",".join(self.index.head), len(self.trials) if self.luck is None else self.luck.n_trials)

    def until(self, last: date) -> pl.DataFrame:
        """The histories up to a day."""
        return self.rows.filter(pl.col("date") <= last)


def folder(root: UPath, profile: str) -> UPath:
    """Where a profile's trials are kept."""
    return root / safe_name(profile, "profile") / "trials"


def register(
    root: UPath,
    profile: str,
    daily: pl.DataFrame,
    benchmark: pl.DataFrame,
    changed: Mapping[str, Any] | None = None,
    witness: Witness | None = None,
) -> int:
    """Enter the strategies of a backtest; returns how many were no trial yet.

    Args:
        daily: BacktestDaily; the first session of each strategy only opens the account and is left out.
        benchmark: BenchmarkReturns on the same sessions.
        changed: settings in which the run differs from the profile's own.
        witness: what the last backtest noted of the register. Trials that it knew of and that are gone go on counting.
    """
    place = folder(root, profile)
    tried = histories(daily, benchmark)
    told = json.dumps(changed or {}, sort_keys=True, default=str)
    digest = hashlib.sha256(told.encode()).hexdigest()[:10] if changed else ""
    with locked(place):
        found = read(root, profile, witness)
        draft = _Draft(place, {trial.trial: trial for trial in found.trials}, found.rows)
        if not found.index.entries:
            _adopt(draft)
        before = len(draft.trials)
        for (strategy,), book in sorted(tried.partition_by("strategy", as_dict=True, maintain_order=True).items()):
            draft.enter(str(strategy), book.select(COLUMNS), digest)
        if draft.entered:
            _write(found, draft)
    return len(draft.trials) - before


def load(root: UPath, profile: str, until: date | None = None) -> pl.DataFrame:
    """Rows (trial, strategy, is_shipped, date, returns) up to `until`, trials in the order in which they were made."""
    found = read(root, profile)
    return found.rows if until is None else found.until(until)


def signature(root: UPath, profile: str, until: date) -> str:
    """Changes when a trial up to `until` is added or differs, and when the register is damaged."""
    found = read(root, profile)
    content = found.until(until).write_csv() + "\n".join(found.problems)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def read(root: UPath, profile: str, witness: Witness | None = None) -> Register:
    """The register, checked against itself, its copy and a witness."""
    place = folder(root, profile)
    found = _read(place, witness)
    # a longer run may have taken the place of a history between reading the index and reading the file
    return _read(place, witness) if found.n_lost else found


def _read(place: UPath, witness: Witness | None) -> Register:
    index = read_index(place)
    trials: dict[str, Trial] = {}
    for entry in index.entries:
        for row in entry.says["trials"]:
            trials[row["trial"]] = Trial(**row)
    whole = {name: table for name, trial in trials.items() if (table := _history(place, trial)) is not None}
    noted = [Luck(**entry.says["luck"]) for entry in index.entries]
    problems = list(index.problems)
    problems += [f"the history of {name} is gone or was edited" for name in trials if name not in whole]
    if witness is not None and not set(witness.heads) <= {entry.hash for entry in index.entries}:
        problems.append(f"entry {witness.head[:8]} is gone, with which the last backtest saw {witness.n_trials} trials")
    expected = max([len(trials), *(luck.n_trials for luck in noted), witness.n_trials if witness else 0])
    if expected > len(trials):
        problems.append(f"of {expected} trials {expected - len(trials)} are known by their number only")
    rows = pl.concat([pl.DataFrame(schema=SCHEMA), *(_rows(trials[name], table) for name, table in whole.items())])
    newest = noted[-1] if noted else None
    return Register(index, tuple(trials.values()), rows, newest, expected - len(whole), tuple(problems))


def hurdle(found: Register, tried: pl.DataFrame, until: date) -> Luck:
    """The hurdle of a report: every trial up to `until`, and the strategies `tried` where the register lacks them.

    Args:
        tried: as `luck.histories` makes it of the report's own backtest.
    """
    own = unregistered(found, tried)
    lost = {trial.digest for trial in found.trials} - {_digest(rows) for rows in found.rows.partition_by("trial")}
    at_hand = sum(_digest(rows) in lost for rows in own.partition_by("trial"))  # gone from the register only
    return luck_of(pl.concat([found.until(until), own]), found.n_lost - at_hand, found.luck)


def unregistered(found: Register, tried: pl.DataFrame) -> pl.DataFrame:
    """Rows, as the register has them, of the strategies that it should hold and does not."""
    parts = [pl.DataFrame(schema=SCHEMA)]
    for (strategy,), book in sorted(tried.partition_by("strategy", as_dict=True, maintain_order=True).items()):
        if _same(book, str(strategy), found.rows) is None:
            own = {"trial": pl.lit(f"{strategy} (not registered)"), "is_shipped": pl.lit(False)}
            parts.append(book.with_columns(**own).select(*SCHEMA))
    return pl.concat(parts)


@dataclass
class _Draft:
    """The register while a backtest is entered: what it holds so far, and what the new entry will say."""

    place: UPath
    trials: dict[str, Trial]
    rows: pl.DataFrame

    def __post_init__(self) -> None:
        self.entered: list[Trial] = []
        self.superseded: list[str] = []

    def enter(self, strategy: str, history: pl.DataFrame, settings: str | None) -> None:
        """Add a trial, supersede the history of the one that it is, or restore a lost one; `settings` None: unknown."""
        if history.is_empty():
            return
        digest = _digest(history)
        lost = [t for t in self.trials.values() if t.digest == digest and t.trial not in set(self.rows["trial"])]
        if lost:  # the very history that the index says
            self._store(lost[0], history)
            return
        name = _same(history, strategy, self.rows) or safe_name(f"{strategy}-{digest[:10]}", "strategy")
        known = self.trials.get(name)
        own = known.strategy if known else strategy
        was_shipped = {t.strategy for t in self.trials.values() if t.is_shipped}
        ships = strategy in SHIPPED and settings == "" and own == strategy and strategy not in was_shipped
        trial = Trial(name, own, ships, settings or "", _file(name, digest), digest)
        if known is not None:
            if not _differs(history, self.rows.filter(pl.col("trial") == name)):
                if not ships:
                    return
                trial = replace(known, is_shipped=True)
                history = self.rows.filter(pl.col("trial") == name).select(COLUMNS)
            else:
                trial = replace(trial, is_shipped=ships or known.is_shipped)
                self.superseded.append(known.file)
        self.entered.append(trial)
        self.trials[name] = trial
        self._store(trial, history)

    def _store(self, trial: Trial, history: pl.DataFrame) -> None:
        table = history.with_columns(strategy=pl.lit(trial.strategy))
        write_table(self.place / trial.file, table, trial.trial)
        self.rows = pl.concat([self.rows.filter(pl.col("trial") != trial.trial), _rows(trial, table)])


def _write(found: Register, draft: _Draft) -> None:
    """The entry, after its histories and before the superseded ones are dropped: killed anywhere, the rest is whole."""
    order = {name: k for k, name in enumerate(draft.trials)}
    rows = draft.rows.sort(pl.col("trial").replace_strict(order, return_dtype=pl.Int64), maintain_order=True)
    healed = {trial.trial for trial in found.trials} & set(rows["trial"]) - set(found.rows["trial"])
    hurdle = luck_of(rows, found.n_lost - len(healed), found.luck)
    last = {trial.trial: trial for trial in draft.entered}
    says = {"trials": [asdict(trial) for trial in last.values()], "luck": asdict(hurdle)}
    append(draft.place, found.index, says)
    current = {trial.file for trial in draft.trials.values()}
    for name in draft.superseded:
        if name not in current:
            (draft.place / name).unlink(missing_ok=True)


def _adopt(draft: _Draft) -> None:
    """Enter the histories of a register without an index, in the order of their names; whose they are is unknown."""
    paths = draft.place.iterdir() if draft.place.exists() else []
    for path in sorted((p for p in paths if p.suffix == ".parquet"), key=str):
        table = _table(path)
        if table is not None and len(table):
            draft.enter(str(table["strategy"][0]), table.select(COLUMNS), None)


def _same(history: pl.DataFrame, strategy: str, known: pl.DataFrame) -> str | None:
    """The trial that is the same bet; one of the same strategy that agrees to rounding is, however short it is."""
    own = known.filter(pl.col("strategy") == strategy).join(history, on="date", suffix="_new")
    gap = (pl.col("simple_return_1d") - pl.col("simple_return_1d_new")).abs()
    equal = own.group_by("trial").agg(gap=gap.max()).filter(pl.col("gap") <= EQUAL).sort("trial")["trial"].to_list()
    alike = equal or trials_like(history, known.select("trial", "date", "simple_return_1d"))
    return alike[0] if alike else None


def _differs(history: pl.DataFrame, known: pl.DataFrame) -> bool:
    """Whether a run of the same bet says more than the known one, or something else about the same sessions."""
    if history.height != known.height:
        return history.height > known.height
    pairs = history.join(known, on="date", suffix="_known")
    gaps = [(pl.col(name) - pl.col(f"{name}_known")).abs() > EQUAL for name in RETURNS]
    unknown = [pl.col(name).is_null() != pl.col(f"{name}_known").is_null() for name in RETURNS]
    return pairs.height < known.height or pairs.select(pl.any_horizontal(*gaps, *unknown).any()).item()


def _history(place: UPath, trial: Trial) -> pl.DataFrame | None:
    """The history of a trial, None where it is gone or not what the index says."""
    table = _table(place / safe_name(trial.file, "trial file"))
    return table if table is not None and _digest(table) == trial.digest else None


def _table(path: UPath) -> pl.DataFrame | None:
    """Columns of a history and its strategy; benchmark returns are null where an older register has none."""
    try:
        table = pl.read_parquet(local_path(path) or io.BytesIO(path.read_bytes()))
        if "benchmark_return_1d" not in table.columns:
            table = table.with_columns(benchmark_return_1d=pl.lit(None, pl.Float64))
        return table.select("strategy", *(pl.col(name).cast(SCHEMA[name]) for name in COLUMNS))
    except (OSError, pl.exceptions.PolarsError):
        return None


def _rows(trial: Trial, table: pl.DataFrame) -> pl.DataFrame:
    return table.with_columns(trial=pl.lit(trial.trial), is_shipped=pl.lit(trial.is_shipped)).select(*SCHEMA)


def _digest(history: pl.DataFrame) -> str:
    return hashlib.sha256(history.select(COLUMNS).write_csv().encode()).hexdigest()


def _file(name: str, digest: str) -> str:
    return f"{name}.{digest[:10]}.parquet"
