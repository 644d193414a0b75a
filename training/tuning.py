"""The search for better training settings: Optuna over PPO's hyper-parameters, the reward and the randomisation.

A study lives in a storage that several processes and machines share. Each trial is a short training run, judged by its
cost over the newsvendor rule on demand that training never sees; the median pruner ends the hopeless ones. The best
network so far is kept in the storage itself, so that whoever ends last can export it.

Source: https://optuna.readthedocs.io/en/stable/tutorial/10_key_features/004_distributed.html
"""

import base64
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from scaling.errors import InputError
from scaling.policy import feature_schema
from scaling.policy_file import parse_policy, serialise
from training.callbacks import TrainingDivergedError
from training.config import TrainConfig
from training.export import export
from training.policy_writer import write_policy
from training.train import Watch, train

SPACE = 1
"""Version of `settings_of`: a study that was begun with another one is refused."""

HEARTBEAT_S, GRACE_S = 20, 90
"""A worker says so often that it lives; one that has been silent for the grace period is dead, and its trial is tried
again (chosen: a machine that stands still for a minute does not lose its trial)."""

MOST_TRIES = 3
"""Of a trial whose worker died (chosen: one that kills its worker thrice does so by itself)."""

DONE = (TrialState.COMPLETE, TrialState.PRUNED)

POLICY = "trial"
"""Name of a trial's policy in the storage."""


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """What all workers of a study agree on. Raises InputError for a number beyond its limits."""

    name: str = "forescale"
    storage: str = ""
    """URL as SQLAlchemy takes it: sqlite:///FILE or postgresql://USER@HOST/DATABASE."""
    trials: int = 50
    """That have ended or were pruned, by all workers together. Those that run when the last of them ends finish too."""
    total_steps: int = 1_000_000
    """Of each trial."""
    rows: int = 1024
    validations: int = 5
    """Comparisons with the rule in each trial, at which it can be pruned."""
    seed: int = 0

    def __post_init__(self) -> None:
        limits = {"trials": (1, 100_000), "validations": (1, 1000), "seed": (0, 2**32 - 1)}
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"{name}: {value} is outside {low} to {high}")
        self.base()

    def base(self) -> TrainConfig:
        """The settings that a trial does not choose."""
        every = max(1, self.total_steps // self.validations)
        return TrainConfig(total_steps=self.total_steps, rows=self.rows, seed=self.seed, validate_every=every)

    def agreed(self) -> dict[str, Any]:
        """What the storage keeps, so that a worker with other ideas is refused."""
        return {"space": SPACE, "total_steps": self.total_steps, "rows": self.rows, "seed": self.seed}


def settings_of(trial: optuna.trial.BaseTrial, base: TrainConfig) -> TrainConfig:
    """Return the settings that a trial suggests. The ranges are chosen around those that made the shipped policy."""
    width = trial.suggest_categorical("hidden", [32, 64, 128])
    return replace(
        base,
        learning_rate=trial.suggest_float("learning_rate", 1e-4, 3e-3, log=True),
        gamma=1 - trial.suggest_float("one_minus_gamma", 0.005, 0.05, log=True),
        gae_lambda=trial.suggest_float("gae_lambda", 0.8, 0.98),
        clip_range=trial.suggest_float("clip_range", 0.1, 0.3),
        epochs=trial.suggest_int("epochs", 3, 10),
        initial_log_std=trial.suggest_float("initial_log_std", -3.0, -1.5),
        hidden=(width, width),
        price_scale=trial.suggest_float("price_scale", 50.0, 800.0, log=True),
        high_price=trial.suggest_float("high_price", 75.0, 300.0, log=True),
        capacity_hint_sigma=trial.suggest_float("capacity_hint_sigma", 0.0, 0.15),
    )


# The study


def open_study(config: StudyConfig, worker: int = 0) -> optuna.Study:
    """Open the study, begin it if there is none, and return it.

    Raises InputError for a storage that cannot be reached, or a study that was begun with other settings.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = _storage(config.storage)
    sampler = optuna.samplers.TPESampler(seed=config.seed + worker)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=5)
    try:
        study = optuna.create_study(
            storage=storage, study_name=config.name, sampler=sampler, pruner=pruner, load_if_exists=True
        )
        _agree(study, config)
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise InputError(f"--storage: {shown_url(config.storage)} cannot be used: {_first_line(error)}") from error
    return study


def open_known_study(config: StudyConfig) -> optuna.Study:
    """Open a study to read it, whatever its settings. Raises InputError if there is none, or it cannot be reached."""
    try:
        return optuna.load_study(study_name=config.name, storage=_storage(config.storage))
    except KeyError as error:
        raise InputError(f"study {config.name}: there is none of that name in {shown_url(config.storage)}") from error


def _storage(url: str) -> RDBStorage:
    try:
        with _pinned_experiments():
            return RDBStorage(
                _with_driver(url),
                engine_kwargs={"poolclass": NullPool},  # no connection is held through the minutes of a trial
                heartbeat_interval=HEARTBEAT_S,
                grace_period=GRACE_S,
                heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=MOST_TRIES),
            )
    except (ArgumentError, ImportError, RuntimeError, SQLAlchemyError) as error:
        raise InputError(f"--storage: {shown_url(url)} cannot be used: {_first_line(error)}") from error


@contextmanager
def _pinned_experiments() -> Iterator[None]:
    """Optuna calls its heartbeats and plots experimental; the version is pinned, and tests use both."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


def _with_driver(url: str) -> str:
    """PostgreSQL is reached by psycopg 3, whichever way the URL spells it."""
    scheme, separator, rest = url.partition("://")
    return f"postgresql+psycopg{separator}{rest}" if scheme in ("postgres", "postgresql") else url


def shown_url(url: str) -> str:
    """A storage's URL without its password."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return repr(url[:80])


def _first_line(error: Exception) -> str:
    cause = error
    while cause.__cause__ is not None:
        cause = cause.__cause__  # type: ignore[assignment]
    return (str(cause).strip() or type(cause).__name__).splitlines()[0]


def _agree(study: optuna.Study, config: StudyConfig) -> None:
    """Keep what the first worker came with, and refuse whoever comes with something else."""
    known, agreed = study.user_attrs, config.agreed()
    for name, value in agreed.items():
        if name not in known and not study.get_trials(deepcopy=False):
            study.set_user_attr(name, value)
        elif known.get(name) != value:
            was = known.get(name, "another program's")
            raise InputError(
                f"study {config.name}: {name} is {value}, but it was begun with {was}; name another --study"
            )


def finished(study: optuna.Study) -> int:
    """Trials that have ended or were pruned."""
    return len(study.get_trials(deepcopy=False, states=DONE))


# Trials


def work(config: StudyConfig, worker: int = 0, say: Callable[[str], None] = lambda line: None) -> None:
    """Run trials of the study until it has enough of them. `say` takes a line for each."""
    study = open_study(config, worker)
    if finished(study) >= config.trials:
        return
    enough = optuna.study.MaxTrialsCallback(config.trials, states=DONE)

    def tell(study: optuna.Study, trial: FrozenTrial) -> None:
        value = "" if trial.value is None else f", cost over the rule {trial.value:.4f}"
        say(f"trial {trial.number}: {trial.state.name.lower()}{value}; {finished(study)} of {config.trials} done")

    with _pinned_experiments():
        study.optimize(
            lambda trial: _run(study, trial, config), callbacks=[tell, enough], catch=(TrainingDivergedError,)
        )


def _run(study: optuna.Study, trial: optuna.Trial, config: StudyConfig) -> float:
    """Train once. Returns the cost of the best network over the newsvendor rule's."""
    seen: dict[int, float] = {}

    def validated(steps: int, cost_ratio: float) -> None:
        if steps in seen:  # before and after the last update; Optuna takes one value for a step
            seen[steps] = min(seen[steps], cost_ratio)
            return
        seen[steps] = cost_ratio
        trial.report(cost_ratio, steps)
        if trial.should_prune():
            raise optuna.TrialPruned

    with tempfile.TemporaryDirectory(prefix="forescale-trial-") as folder:
        run = train(settings_of(trial, config.base()), Path(folder) / "run", Watch(validated=validated))
        best = min(seen.values())
        if best <= _best_of(study):
            trial.set_user_attr("policy", _packed(run, Path(folder)))
        return best


def _best_of(study: optuna.Study) -> float:
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return min((trial.value for trial in done if trial.value is not None), default=float("inf"))


def _packed(run: Path, folder: Path) -> dict[str, str]:
    """A policy's two files as text that a storage keeps: some 60 kB."""
    export(run, POLICY, folder)
    weights, manifest = ((folder / f"{POLICY}{suffix}").read_bytes() for suffix in (".safetensors", ".json"))
    return {"weights": base64.b64encode(weights).decode(), "manifest": manifest.decode()}


# What came of it


def export_best(study: optuna.Study, name: str, folder: Path) -> FrozenTrial:
    """Write the best trial's policy as `name`, with its study in the manifest; returns the trial.

    Raises InputError where no trial has ended.
    """
    done = [
        trial for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)) if trial.value is not None
    ]
    kept = [trial for trial in done if "policy" in trial.user_attrs]
    if not kept:
        raise InputError(
            f"study {study.study_name}: none of its {len(study.trials)} trials has ended; nothing to export"
        )
    best = min(kept, key=lambda trial: trial.value or 0.0)
    packed = best.user_attrs["policy"]
    policy = parse_policy(base64.b64decode(packed["weights"]), packed["manifest"].encode(), feature_schema(), POLICY)
    origin = {
        "name": study.study_name,
        "trial": best.number,
        "trials": finished(study),
        "cost_over_snvt": best.value,
        "parameters": best.params,
    }
    card = policy.manifest
    weights, manifest = serialise(policy.network, replace(card, name=name, training={**card.training, "study": origin}))
    write_policy(folder, name, weights, manifest)
    return best


def draw_report(study: optuna.Study, folder: Path) -> list[Path]:
    """Write Optuna's own plots of the study, as PNG; returns the files. Importances need two trials that have ended."""
    from matplotlib.figure import Figure
    from optuna.visualization import matplotlib as plots

    def saved(name: str, axes: Any) -> Path:
        figure = axes.figure if hasattr(axes, "figure") else axes.flat[0].figure
        assert isinstance(figure, Figure)
        figure.set_size_inches(9, 5)
        figure.tight_layout()
        figure.savefig(folder / name, dpi=110)
        return folder / name

    with _pinned_experiments():
        files = [saved("history.png", plots.plot_optimization_history(study))]
        files.append(saved("intermediate.png", plots.plot_intermediate_values(study)))
        done = [trial.value for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))]
        if len(set(done)) > 1:
            files.append(saved("importances.png", plots.plot_param_importances(study)))
    return files


def summary(study: optuna.Study) -> dict[str, Any]:
    """What the study has come to, as JSON values: how many trials in which state, and the best five."""
    trials = study.get_trials(deepcopy=False)
    best = sorted(
        (trial for trial in trials if trial.state is TrialState.COMPLETE), key=lambda trial: trial.value or 0.0
    )
    states = {state.name.lower(): sum(trial.state is state for trial in trials) for state in TrialState}
    return {
        "study": study.study_name,
        "settings": dict(study.user_attrs),
        "trials": states,
        "best": [{"trial": trial.number, "cost_over_snvt": trial.value, **trial.params} for trial in best[:5]],
    }
