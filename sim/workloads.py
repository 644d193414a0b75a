"""The mixture of loads that policies train on: eight kinds, each a draw of scenarios.

Ranges are chosen: tuned until peak to mean, autocorrelation over a day and jumps within a minute of each kind lie where
those of public traces of that kind lie (`python -m benchmarks.demand` prints both side by side).
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from sim.scenario import DAY_S, HOUR_S, MINUTE_S, WEEK_S, Events, Idle, Jumps, Noise, Scenario, Season


def sample_scenario(rng: np.random.Generator) -> Scenario:
    """Draw a kind by its weight, then its shape, scale and place in the week."""
    weights = np.array([weight for weight, _ in KINDS.values()])
    kind = list(KINDS)[int(rng.choice(len(KINDS), p=weights / weights.sum()))]
    return sample_kind(kind, rng)


def sample_kind(kind: str, rng: np.random.Generator) -> Scenario:
    """Draw one scenario of a kind, its mean log-uniform over 3..300 pods."""
    scenario = KINDS[kind][1](rng)
    mean_rps = _log_uniform(rng, 3.0, 300.0) * scenario.pod_rps
    growth = float(rng.normal(0.0, 0.03)) if rng.random() < 0.4 else 0.0
    return replace(
        scenario,
        kind=kind,
        mean_rps=mean_rps,
        growth_per_day=scenario.growth_per_day + growth,
        start_s=float(rng.uniform(0.0, WEEK_S)),
    )


def _calm(rng: np.random.Generator) -> Scenario:
    """A big service: smooth days, little noise, now and then a small surge."""
    return Scenario(
        kind="calm",
        mean_rps=1.0,
        pod_rps=_log_uniform(rng, 20, 300),
        season=_season(rng, 0.03, 0.9),
        noise=(_noise(rng, 0.0, 0.05, 20, 90), _noise(rng, 0.01, 0.08, 300, 1_800), _noise(rng, 0.03, 0.15, 6e3, 6e4)),
        jumps=(Jumps(rng.uniform(0.0, 0.15), _log_uniform(rng, 0.5 * DAY_S, 5 * DAY_S)),),
        events=(
            Events(rng.uniform(0, 2), _log_uniform(rng, 0.15, 0.6), 0.4, _rise(rng), 120, decay_s=400, seasonal=True),
        ),
        dispersion=_log_uniform(rng, 1, 3),
    )


def _noisy(rng: np.random.Generator) -> Scenario:
    """Clear days under strong noise from half a minute up, with surges every few minutes."""
    return Scenario(
        kind="noisy",
        mean_rps=1.0,
        pod_rps=_log_uniform(rng, 5, 100),
        season=_season(rng, 0.4, 1.5),
        noise=(
            _noise(rng, 0.05, 0.3, 20, 60),
            _noise(rng, 0.1, 0.35, 150, 900),
            _noise(rng, 0.1, 0.3, 1_800, 14_400),
        ),
        events=(_shots(rng, (40, 300), (0.4, 2.0), (0.4, 0.8), (30, 400), (30, 300)), _flash(rng, 0.3)),
        idle=(Idle(rng.uniform(0, 3), 45.0, 0.05),),
        dispersion=_log_uniform(rng, 1, 8),
    )


def _jumpy(rng: np.random.Generator) -> Scenario:
    """Load that holds for minutes and then jumps: shared pools, few large clients."""
    return Scenario(
        kind="jumpy",
        mean_rps=1.0,
        season=_season(rng, 0.4, 1.7),
        noise=(_noise(rng, 0.02, 0.1, 30, 200), _noise(rng, 0.1, 0.4, 3_600, 36_000)),
        jumps=(
            Jumps(rng.uniform(0.2, 0.8), _log_uniform(rng, 90, 1_500)),
            Jumps(rng.uniform(0.1, 0.5), _log_uniform(rng, 3_600, 2 * DAY_S)),
        ),
        events=(_shots(rng, (20, 150), (0.6, 4.0), (0.4, 1.0), (30, 600), (60, 900)), _cron(rng)),
        dispersion=_fluid_or_counts(rng),
    )


def _bursty(rng: np.random.Generator) -> Scenario:
    """A low base under bursts many times as high, in groups, some of them giants."""
    return Scenario(
        kind="bursty",
        mean_rps=1.0,
        pod_rps=_log_uniform(rng, 5, 200),
        season=_season(rng, 0.1, 1.0),
        noise=(_noise(rng, 0.02, 0.2, 30, 600), _noise(rng, 0.1, 0.5, 3_600, 36_000)),
        events=(
            _shots(rng, (15, 200), (2.0, 40.0), (0.6, 1.3), (20, 600), (20, 900), clumping=(0.5, 1.8)),
            _giants(rng),
        ),
        dispersion=_fluid_or_counts(rng),
    )


def _flash_crowds(rng: np.random.Generator) -> Scenario:
    """Ordinary days, and some days an event that many people come to at once."""
    return Scenario(
        kind="flash",
        mean_rps=1.0,
        pod_rps=_log_uniform(rng, 10, 200),
        season=_season(rng, 0.2, 1.0),
        noise=(
            _noise(rng, 0.03, 0.12, 20, 90),
            _noise(rng, 0.05, 0.2, 300, 1_800),
            _noise(rng, 0.05, 0.3, 6_000, 60_000),
        ),
        events=(_flash(rng, 1.0), _shots(rng, (1, 20), (0.3, 1.5), (0.5, 0.9), (30, 200), (120, 1_200))),
        dispersion=_log_uniform(rng, 1, 8),
    )


def _low_volume(rng: np.random.Generator) -> Scenario:
    """Few heavy requests: most of what one sees is counting noise."""
    return Scenario(
        kind="lowvolume",
        mean_rps=1.0,
        pod_rps=_log_uniform(rng, 0.02, 1.0),
        season=_season(rng, 0.2, 1.3),
        noise=(_noise(rng, 0.05, 0.4, 120, 1_200), _noise(rng, 0.1, 0.5, 3_600, 36_000)),
        events=(_shots(rng, (1, 20), (1.0, 8.0), (0.5, 1.2), (60, 900), (30, 600)), _cron(rng)),
        idle=(Idle(rng.uniform(0, 2), _log_uniform(rng, 300, 2 * HOUR_S), 0.02),),
        dispersion=_log_uniform(rng, 1, 6),
    )


def _on_off(rng: np.random.Generator) -> Scenario:
    """Nothing, then a batch at once: scheduled jobs, square batches from one to hundreds a day, and rare giants."""
    per_day = _log_uniform(rng, 1, 400)
    share_on = _log_uniform(rng, 0.01, 0.3)
    batches = Events(
        per_day=per_day,
        height=_log_uniform(rng, 4, 150),
        height_sigma=float(rng.uniform(0.1, 1.0)),
        rise_s=_rise(rng),
        hold_s=min(max(20.0, share_on * DAY_S / per_day), 3 * HOUR_S),
        clumping=float(rng.uniform(0.0, 1.5)),
        seasonal=bool(rng.random() < 0.5),
    )
    return Scenario(
        kind="onoff",
        mean_rps=1.0,
        season=_season(rng, 0.0, 0.5),
        noise=(_noise(rng, 0.0, 0.1, 60, 3_600),),
        events=(_cron(rng, chance=0.7), batches, _giants(rng)),
        idle=(Idle(rng.uniform(0, 4), _log_uniform(rng, 600, 4 * HOUR_S), 0.0),),
        dispersion=_fluid_or_counts(rng),
    )


def _llm(rng: np.random.Generator) -> Scenario:
    """Inference: heavy requests, weak days, large clients that come and go within a minute."""
    return Scenario(
        kind="llm",
        mean_rps=1.0,
        pod_rps=_log_uniform(rng, 0.5, 10),
        season=_season(rng, 0.05, 0.6),
        noise=(
            _noise(rng, 0.02, 0.1, 20, 120),
            _noise(rng, 0.03, 0.12, 600, 3_600),
            _noise(rng, 0.05, 0.25, 2e4, 1e5),
        ),
        jumps=(
            Jumps(rng.uniform(0.0, 0.25), _log_uniform(rng, 900, 7_200)),
            Jumps(rng.uniform(0.1, 0.4), _log_uniform(rng, DAY_S / 2, 4 * DAY_S)),
        ),
        events=(_shots(rng, (2, 20), (0.2, 1.2), (0.4, 0.8), (300, 3_600), (0, 600), clumping=(0.5, 1.5)),),
        dispersion=_log_uniform(rng, 1, 10),
    )


KINDS: dict[str, tuple[float, Callable[[np.random.Generator], Scenario]]] = {
    "calm": (0.18, _calm),
    "noisy": (0.18, _noisy),
    "jumpy": (0.16, _jumpy),
    "bursty": (0.16, _bursty),
    "flash": (0.08, _flash_crowds),
    "lowvolume": (0.08, _low_volume),
    "onoff": (0.10, _on_off),
    "llm": (0.06, _llm),
}
"""Weight and draw of each kind. Chosen: most of the weight on load that jumps within a minute, as fine traces do."""


def _season(rng: np.random.Generator, low: float, high: float) -> Season:
    return Season(
        amplitude=float(rng.uniform(low, high)),
        sharpness=_log_uniform(rng, 0.8, 4.0),
        peak_s=float(rng.uniform(0.0, DAY_S)),
        lunch_ratio=float(rng.uniform(0.0, 0.6)) if rng.random() < 0.4 else 0.0,
        weekend_ratio=float(rng.uniform(0.25, 1.1)) if rng.random() < 0.6 else 1.0,
        jitter_s=float(rng.uniform(0.0, 25 * MINUTE_S)),
    )


def _noise(rng: np.random.Generator, low: float, high: float, low_tau_s: float, high_tau_s: float) -> Noise:
    return Noise(float(rng.uniform(low, high)), _log_uniform(rng, low_tau_s, high_tau_s))


def _shots(
    rng: np.random.Generator,
    per_day: tuple[float, float],
    height: tuple[float, float],
    height_sigma: tuple[float, float],
    hold_s: tuple[float, float],
    decay_s: tuple[float, float],
    clumping: tuple[float, float] = (0.0, 0.5),
) -> Events:
    return Events(
        per_day=_log_uniform(rng, *per_day),
        height=_log_uniform(rng, *height),
        height_sigma=float(rng.uniform(*height_sigma)),
        rise_s=_rise(rng),
        hold_s=_log_uniform(rng, *hold_s),
        decay_s=float(rng.uniform(*decay_s)),
        seasonal=bool(rng.random() < 0.7),
        clumping=float(rng.uniform(*clumping)),
    )


def _flash(rng: np.random.Generator, chance: float) -> Events:
    """A crowd within a minute that thins out over minutes."""
    per_day = _log_uniform(rng, 0.3, 4.0) if rng.random() < chance else 0.0
    return Events(
        per_day,
        _log_uniform(rng, 1.0, 20.0),
        0.9,
        _rise(rng),
        180,
        decay_s=_log_uniform(rng, 120, 2_400),
        seasonal=True,
    )


def _giants(rng: np.random.Generator) -> Events:
    """Rare and enormous, without warning."""
    return Events(
        _log_uniform(rng, 0.1, 1.5), _log_uniform(rng, 20, 200), 0.6, _rise(rng), _log_uniform(rng, 60, 1_800)
    )


def _cron(rng: np.random.Generator, chance: float = 0.4) -> Events:
    """A scheduled job of near constant size: every 5, 10, 15, 30 minutes, hour, six hours or day."""
    if rng.random() > chance:
        return Events()
    every_s = float(rng.choice([300, 600, 900, 1_800, 3_600, 21_600, 86_400]))
    hold_s = every_s * _log_uniform(rng, 0.02, 0.3)
    return Events(
        0.0, _log_uniform(rng, 0.5, 12.0), float(rng.uniform(0.0, 0.3)), _rise(rng), hold_s, 0.15, every_s=every_s
    )


def _rise(rng: np.random.Generator) -> float:
    return float(rng.uniform(15.0, 60.0))


def _fluid_or_counts(rng: np.random.Generator) -> float:
    """Half of the jobs' load is measured as a fluid (CPU), half as counts."""
    return 0.0 if rng.random() < 0.5 else _log_uniform(rng, 1, 10)


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return math.exp(rng.uniform(math.log(low), math.log(high)))
