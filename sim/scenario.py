"""What describes a demand series: plain values, and the named examples.

`sim.demand` turns a `Scenario` into numbers; `sim.workloads` draws scenarios. Heights and ratios are relative to the
mean of the base load, so that one scenario can be used at any scale.
"""

from dataclasses import dataclass, replace

from scaling.errors import InputError

DAY_S = 86_400.0
WEEK_S = 7 * DAY_S
MINUTE_S = 60.0
HOUR_S = 3_600.0


@dataclass(frozen=True)
class Season:
    """What repeats: the shape of a day and of a week."""

    amplitude: float = 0.0
    """Half the log distance between night and day: exp(2 x amplitude) is day over night."""
    sharpness: float = 1.0
    """1 is close to a cosine, 4 a working day with steep edges."""
    peak_s: float = 14 * HOUR_S
    """Middle of the busy half of the day, seconds after midnight."""
    lunch_ratio: float = 0.0
    """Share of the load that is gone in the middle of the busy half."""
    weekend_ratio: float = 1.0
    """Load on Saturday and Sunday relative to a working day."""
    jitter_s: float = 10 * MINUTE_S
    """How far a day's shape is early or late (standard deviation): no day repeats to the minute."""


@dataclass(frozen=True)
class Noise:
    """Log noise with a memory (Ornstein-Uhlenbeck): smooth wandering."""

    sigma: float
    tau_s: float


@dataclass(frozen=True)
class Jumps:
    """Log level that stays, then is drawn anew: minute-level jumps (hold_s of minutes) or level shifts (of days)."""

    sigma: float
    hold_s: float
    """Mean time between two draws (exponential)."""


@dataclass(frozen=True)
class Events:
    """Extra load that sets in suddenly, holds and decays: flash crowds, jobs, batches, giants."""

    per_day: float = 0.0
    """Mean count a day, ignored where `every_s` is given."""
    height: float = 1.0
    """Median height in mean base loads."""
    height_sigma: float = 0.0
    """Log standard deviation of the heights: 1 and more gives rare giants."""
    rise_s: float = 30.0
    """From nothing to full height: 15..60 s, the onset seen in public 30 s traces."""
    hold_s: float = 0.0
    """Median time at full height."""
    hold_sigma: float = 0.7
    """Log standard deviation of that time; 0.7, chosen: nine of ten lie between a third and three times the median."""
    decay_s: float = 0.0
    """Time constant of the exponential end; 0 drops within one `rise_s`."""
    every_s: float = 0.0
    """Period of scheduled events; 0 for random times."""
    at_s: float | None = None
    """Time of the first scheduled event after the week's start; None draws it."""
    seasonal: bool = False
    """Random times follow the day and the week."""
    clumping: float = 0.0
    """Log standard deviation of the rate of random times, with a memory of `CLUMP_TAU_S`: quiet and busy hours."""


@dataclass(frozen=True)
class Idle:
    """Stretches where demand falls to `level_ratio`: outages, closed hours, paused clients."""

    per_day: float
    mean_s: float
    level_ratio: float = 0.0


@dataclass(frozen=True)
class Scenario:
    """One demand series, all but its chance."""

    kind: str
    mean_rps: float
    """Long-run mean demand, requests/s (before growth)."""
    pod_rps: float = 100.0
    """Requests/s that one pod serves: sets how many requests, and so how much counts noise, a pod of demand is."""
    season: Season = Season()
    growth_per_day: float = 0.0
    """Log growth a day, from 0 at the start of the series."""
    noise: tuple[Noise, ...] = ()
    jumps: tuple[Jumps, ...] = ()
    events: tuple[Events, ...] = ()
    idle: tuple[Idle, ...] = ()
    dispersion: float = 1.0
    """Variance over mean of the request counts: 1 is Poisson, more is requests in packets, 0 a fluid without counts."""
    start_s: float = 0.0
    """Time of the first step after Monday 00:00."""

    def __post_init__(self) -> None:
        for name in ("mean_rps", "pod_rps"):
            value = getattr(self, name)
            if not (0 < value <= MAX_RPS):
                raise InputError(f"scenario {self.kind}: {name} is {value}, must be over 0 and at most {MAX_RPS:g}")
        if not (self.dispersion == 0 or 1 <= self.dispersion <= MAX_DISPERSION):
            raise InputError(
                f"scenario {self.kind}: dispersion is {self.dispersion}, must be 0 or within 1..{MAX_DISPERSION:g}"
            )


MAX_RPS = 1e9
"""Requests/s, chosen: far above any one workload, and its counts in a step fit an integer."""
MAX_DISPERSION = 1e4
"""Chosen: packets of ten thousand requests."""
CLUMP_TAU_S = 3 * HOUR_S
"""Chosen: bursts in public traces come in groups of a few hours."""

OFFICE = Season(amplitude=0.85, sharpness=2.0, peak_s=13.5 * HOUR_S, lunch_ratio=0.25, jitter_s=0.0)
"""Chosen for reading: nights at a fifth of the day, a rise from seven, a dip at half past one, a fall from eight."""

SCENARIOS: dict[str, Scenario] = {
    "day": Scenario(
        kind="day",
        mean_rps=900.0,
        season=OFFICE,
        noise=(Noise(0.03, 45), Noise(0.04, 600), Noise(0.06, 7_200)),
        events=(
            Events(height=1.5, rise_s=45, hold_s=240, hold_sigma=0, decay_s=480, every_s=DAY_S, at_s=16.75 * HOUR_S),
        ),
        dispersion=3.0,
    ),
    "flash-crowd": Scenario(
        kind="flash-crowd",
        mean_rps=600.0,
        season=Season(amplitude=0.5, peak_s=20 * HOUR_S),
        noise=(Noise(0.05, 45), Noise(0.08, 900)),
        events=(Events(per_day=5, height=2.5, height_sigma=0.7, rise_s=20, hold_s=150, decay_s=500, seasonal=True),),
        dispersion=3.0,
    ),
    "weekly": Scenario(
        kind="weekly",
        mean_rps=800.0,
        season=replace(OFFICE, weekend_ratio=0.45, jitter_s=12 * MINUTE_S),
        growth_per_day=0.01,
        noise=(Noise(0.04, 60), Noise(0.06, 1_200), Noise(0.1, 40_000)),
        events=(Events(per_day=0.5, height=0.8, height_sigma=0.5, hold_s=300, decay_s=900, seasonal=True),),
        dispersion=3.0,
    ),
    "on-off": Scenario(
        kind="on-off",
        mean_rps=300.0,
        noise=(Noise(0.1, 1_800),),
        events=(
            Events(height=8, height_sigma=0.2, rise_s=20, hold_s=480, hold_sigma=0.15, every_s=HOUR_S),
            Events(per_day=10, height=14, height_sigma=0.6, rise_s=20, hold_s=900, clumping=0.8),
            Events(per_day=1, height=60, height_sigma=0.4, rise_s=30, hold_s=300),
        ),
        dispersion=0.0,
    ),
    "noisy": Scenario(
        kind="noisy",
        mean_rps=500.0,
        pod_rps=40.0,
        season=Season(amplitude=0.9, sharpness=2.5, peak_s=15 * HOUR_S, lunch_ratio=0.5),
        noise=(Noise(0.15, 40), Noise(0.2, 400), Noise(0.15, 5_000)),
        events=(Events(per_day=120, height=0.8, height_sigma=0.6, rise_s=40, hold_s=120, decay_s=150, seasonal=True),),
        idle=(Idle(2, 45, 0.1),),
        dispersion=5.0,
    ),
    "idle": Scenario(
        kind="idle",
        mean_rps=4.0,
        season=Season(amplitude=0.8, weekend_ratio=0.5),
        noise=(Noise(0.3, 900),),
        events=(Events(per_day=6, height=6, height_sigma=0.8, rise_s=30, hold_s=300, decay_s=120),),
        idle=(Idle(5, 2 * HOUR_S, 0.0),),
        dispersion=4.0,
    ),
}
"""Named examples, all chosen; "day" is what the demo shows."""
