"""What a run without a terminal tells of itself: a log line a minute, and Prometheus metrics that a dashboard shows."""

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Gauge
from stable_baselines3.common.callbacks import BaseCallback

from training.callbacks import BestKeeper
from training.config import TrainConfig

LINE_EVERY_S = 60.0
"""Seconds between two log lines (chosen: a run of an hour fits a screen)."""


class ProgressLines(BaseCallback):
    """Says how far a run is before the first update, once a minute, and at the end."""

    def __init__(
        self, config: TrainConfig, keeper: BestKeeper, say: Callable[[str], None], every_s: float = LINE_EVERY_S
    ) -> None:
        """`say` takes each line."""
        super().__init__()
        self.config, self.keeper, self.say, self.every_s = config, keeper, say, every_s
        self.began_s = self.said_s = 0.0
        self.began_at_steps = 0

    def _on_training_start(self) -> None:
        self.began_s, self.began_at_steps = time.monotonic(), self.num_timesteps
        self._say()

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        if time.monotonic() - self.said_s >= self.every_s:
            self._say()

    def _on_training_end(self) -> None:
        self._say()

    def _say(self) -> None:
        self.said_s = time.monotonic()
        done, all_of_them = self.num_timesteps, self.config.steps_run
        line = f"step {done:,} of {all_of_them:,} ({done / all_of_them:.0%})"
        elapsed_s = self.said_s - self.began_s
        if done > self.began_at_steps and elapsed_s > 0:
            per_s = (done - self.began_at_steps) / elapsed_s
            line += f", {per_s:,.0f} steps/s, {(all_of_them - done) / per_s / 60:.0f} min left"
        if self.keeper.best:
            line += f", best cost over the newsvendor rule {self.keeper.best['mean']:.4f}"
        self.say(line)


class ProgressGauges(BaseCallback):
    """Keeps the gauges `forescale_training_*` current, in a registry that somebody serves."""

    def __init__(self, config: TrainConfig, keeper: BestKeeper, registry: CollectorRegistry) -> None:
        super().__init__()
        self.keeper = keeper
        self._steps = _gauge(registry, "steps", "Environment steps taken.")
        _gauge(registry, "planned_steps", "Environment steps of the whole run.").set(config.steps_run)
        about = "Cost of the best network over the newsvendor rule's on generated demand; below 1 is better."
        self._best = _gauge(registry, "best_cost_ratio", about)
        self._updated = _gauge(registry, "updated_timestamp_seconds", "When the last update ended, as a Unix time.")

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        self._note()

    def _on_training_end(self) -> None:
        self._note()

    def _note(self) -> None:
        self._steps.set(self.num_timesteps)
        self._updated.set_to_current_time()
        self._best.set(self.keeper.best.get("mean", float("nan")))


def _gauge(registry: CollectorRegistry, name: str, about: str) -> Gauge:
    return Gauge(f"forescale_training_{name}", about, registry=registry)
