"""Demand series from a seed: `generate` turns a `Scenario` into requests/s, `generate_fleet` fills a training batch.

A rate is built from parts in units of the base load's mean: day and week, growth, wandering noise, jumps, events, idle
stretches. It is scaled to the scenario's mean, then requests are counted: a step of `step_s` at rate r sees a
Poisson-like number of requests, so the relative noise is sqrt(dispersion / (r x step_s)) and fades as load grows.
`sim.scenario` describes a series, `sim.workloads` draws the mixture that policies train on.
"""

import math

import numpy as np
from numpy.typing import NDArray

from scaling.errors import InputError
from sim.scenario import CLUMP_TAU_S, DAY_S, SCENARIOS, WEEK_S, Events, Idle, Jumps, Noise, Scenario, Season
from sim.workloads import KINDS, sample_kind, sample_scenario

__all__ = [
    "KINDS", "SCENARIOS", "Events", "Idle", "Jumps", "Noise", "Scenario", "Season",
    "generate", "generate_fleet", "sample_kind", "sample_scenario",
]  # fmt: skip

Series = NDArray[np.float64]

MAX_STEP_S = 60.0
"""Seconds. Longer steps would hide the minute that decides; chosen."""
MAX_STEPS = 10_000_000
"""Chosen: 115 days at 1 s; 80 MB."""
MAX_EVENT_STEPS = 2_000_000
"""Events are laid out in parts of about this many steps, chosen to stay below 100 MB."""
LUNCH_S = 2_400.0
"""Seconds, chosen: the standard deviation of a lunch dip, about an hour and a half wide at half depth."""
SCHEDULE_JITTER_S = 20.0
"""Seconds, chosen: schedulers start jobs within the minute."""
DECAY_CUT = 6.0
"""Time constants, chosen: 0.25 % of the height is left."""
BLOCK_DECAY = 30.0
"""exp(30) is far from overflow, exp(-30) close to rounding; chosen."""


def generate(scenario: Scenario, n_steps: int, step_s: float, rng: np.random.Generator) -> Series:
    """Return (n_steps,) demand_rps >= 0, each the mean over its step.

    The scenario's mean is the long-run one: a short window, a night or a window without its giant has its own.
    """
    _check_grid(n_steps, step_s)
    rate_rps = scenario.mean_rps / _expected_level(scenario) * _level(scenario, n_steps, step_s, rng)
    return _count_requests(rate_rps, scenario.dispersion, step_s, rng)


def generate_fleet(
    rng: np.random.Generator,
    n_series: int,
    n_steps: int,
    step_s: float = 15.0,
    mean_pods_low: float = 3.0,
    mean_pods_high: float = 300.0,
) -> NDArray[np.float32]:
    """Return (n_series, n_steps) demand in pods, one drawn scenario a row.

    Unlike `generate`, each row's own mean (before counting) is the drawn one, log-uniform between the two bounds:
    a policy then sees every scale equally often, whatever happened in the window.
    """
    _check_grid(n_steps, step_s)
    if not 0 < mean_pods_low <= mean_pods_high:
        raise InputError(f"fleet demand: mean pods {mean_pods_low}..{mean_pods_high} must be over 0 and rising")
    mean_pods = np.exp(rng.uniform(math.log(mean_pods_low), math.log(mean_pods_high), n_series))
    fleet = np.empty((n_series, n_steps), dtype=np.float32)
    for row, pods in zip(fleet, mean_pods, strict=True):
        scenario = sample_scenario(rng)
        level = _level(scenario, n_steps, step_s, rng)
        mean_level = level.mean() or _expected_level(scenario)  # a short window may be idle throughout
        rate_rps = level * (pods * scenario.pod_rps / mean_level)
        row[:] = _count_requests(rate_rps, scenario.dispersion, step_s, rng) / scenario.pod_rps
    return fleet


def season_profile(season: Season, time_s: Series, late_s: Series | float = 0.0) -> Series:
    """Relative load at each time after Monday 00:00, mean 1 over a week; `late_s` moves the days, not the weekend."""
    week_s = np.arange(0.0, WEEK_S, 900.0)
    week_mean = float((_day_shape(season, week_s) * _weekend(season, week_s)).mean())
    return _day_shape(season, time_s - late_s) * _weekend(season, time_s) / week_mean


def wander(n_steps: int, tau_steps: float, rng: np.random.Generator) -> Series:
    """Return a stationary Ornstein-Uhlenbeck path of variance 1, sampled exactly at whole steps."""
    memory = math.exp(-1.0 / tau_steps)
    shocks = rng.standard_normal(n_steps)
    shocks[1:] *= math.sqrt(1.0 - memory * memory)
    return _accumulate(shocks, 1.0 / tau_steps)


def _level(scenario: Scenario, n_steps: int, step_s: float, rng: np.random.Generator) -> Series:
    """Demand relative to the base load's mean."""
    since_start_s: Series = step_s * np.arange(0.5, n_steps)
    time_s: Series = scenario.start_s + since_start_s
    late_s = wander(n_steps, DAY_S / step_s, rng) * scenario.season.jitter_s
    profile = season_profile(scenario.season, time_s, late_s)

    level = profile * np.exp(_log_noise(scenario, n_steps, step_s, rng))
    for events in scenario.events:
        level += _events(events, profile, scenario.start_s, step_s, rng)
    for idle in scenario.idle:
        level *= _idle(idle, n_steps, step_s, rng)
    if scenario.growth_per_day:
        level *= np.exp(scenario.growth_per_day / DAY_S * since_start_s)
    return level


def _expected_level(scenario: Scenario) -> float:
    """The long-run mean of `_level` without growth."""
    expected = 1.0 + sum(_expected_events(events) for events in scenario.events)
    for idle in scenario.idle:
        idle_share = 1.0 - math.exp(-idle.per_day * idle.mean_s / DAY_S)
        expected *= 1.0 - idle_share * (1.0 - idle.level_ratio)
    return expected


def _count_requests(rate_rps: Series, dispersion: float, step_s: float, rng: np.random.Generator) -> Series:
    """Replace the rate by requests counted in the step over its length; variance is dispersion x mean.

    Over-dispersed counts are a Poisson count of a gamma-distributed mean (negative binomial).
    """
    if dispersion == 0:
        return rate_rps
    expected = rate_rps * step_s
    if dispersion > 1:
        packet = dispersion - 1.0
        expected = rng.standard_gamma(expected / packet) * packet
    return rng.poisson(expected) / step_s


def _day_shape(season: Season, time_s: Series) -> Series:
    from_peak_s = np.mod(time_s - season.peak_s + DAY_S / 2, DAY_S) - DAY_S / 2
    wave = np.tanh(season.sharpness * np.cos(2 * math.pi / DAY_S * from_peak_s)) / math.tanh(season.sharpness)
    lunch = season.lunch_ratio * np.exp(-0.5 * (from_peak_s / LUNCH_S) ** 2)
    shape: Series = np.exp(season.amplitude * wave) * (1.0 - lunch)
    return shape


def _weekend(season: Season, time_s: Series) -> Series:
    """Weekend against working day, changing over the hour around midnight."""
    knots_s = np.array([-0.5, 0.5, 119.5, 120.5, 167.5, 168.5]) * 3_600.0
    ratio = season.weekend_ratio
    return np.interp(np.mod(time_s, WEEK_S), knots_s, [ratio, 1.0, 1.0, ratio, ratio, 1.0])


def _log_noise(scenario: Scenario, n_steps: int, step_s: float, rng: np.random.Generator) -> Series:
    """Sum of the wandering and jumping parts, each shifted so that its exponential has mean 1."""
    total = np.zeros(n_steps)
    for noise in scenario.noise:
        sigma = noise.sigma * _share_left_by_averaging(step_s / noise.tau_s)
        total += sigma * wander(n_steps, noise.tau_s / step_s, rng) - sigma**2 / 2
    for jumps in scenario.jumps:
        total += jumps.sigma * _plateaus(n_steps, jumps.hold_s / step_s, rng) - jumps.sigma**2 / 2
    return total


def _share_left_by_averaging(steps: float) -> float:
    """Standard deviation of an Ornstein-Uhlenbeck path's mean over `steps` time constants, relative to the path's."""
    return math.sqrt(2.0 * (steps + math.expm1(-steps)) / steps**2)


def _plateaus(n_steps: int, hold_steps: float, rng: np.random.Generator) -> Series:
    """Piecewise constant standard normal levels that change at random steps."""
    changed = rng.random(n_steps) < -math.expm1(-1.0 / hold_steps)
    plateau = np.cumsum(changed)
    return rng.standard_normal(int(plateau[-1]) + 1)[plateau]


def _accumulate(shocks: Series, decay: float) -> Series:
    """Return y with y[t] = shocks[t] + exp(-decay) y[t-1], without a loop over steps.

    Inside a block y is a cumulative sum of shocks scaled up by exp(decay t). Blocks are `BLOCK_DECAY` / decay long:
    short enough not to overflow, long enough that what is left from two blocks ago (exp(-30)) is below rounding.
    """
    n_steps = len(shocks)
    size = max(1, min(n_steps, int(BLOCK_DECAY / decay)))
    blocks = np.zeros((-(-n_steps // size), size))
    blocks.reshape(-1)[:n_steps] = shocks
    fading = np.exp(-decay * np.arange(1, size + 1))
    path = np.cumsum(blocks / fading, axis=1) * fading
    path[1:] += path[:-1, -1:] * fading
    flat: Series = path.reshape(-1)[:n_steps]
    return flat


def _events(events: Events, profile: Series, start_s: float, step_s: float, rng: np.random.Generator) -> Series:
    """All events of one group, heights included, as (n_steps,) levels."""
    begin_s = _event_times(events, profile, start_s, step_s, rng)
    if len(begin_s) == 0:
        return np.zeros_like(profile)
    height = events.height * np.exp(events.height_sigma * rng.standard_normal(len(begin_s)))
    hold_s = events.hold_s * np.exp(events.hold_sigma * rng.standard_normal(len(begin_s)))

    level = np.zeros_like(profile)
    steps = (hold_s + _edges_s(events)).sum() / step_s
    for part in np.array_split(np.arange(len(begin_s)), 1 + int(steps / MAX_EVENT_STEPS)):
        level += _event_shapes(events, begin_s[part], height[part], hold_s[part], len(profile), step_s)
    return level


def _event_times(events: Events, profile: Series, start_s: float, step_s: float, rng: np.random.Generator) -> Series:
    """Seconds after the first step at which events set in, those that still last from before included."""
    length_s = len(profile) * step_s
    before_s = min(WEEK_S, _edges_s(events) + events.hold_s * math.exp(3 * events.hold_sigma))
    if events.every_s:
        at_s = float(rng.uniform(0.0, events.every_s)) if events.at_s is None else events.at_s
        first_s = (at_s - start_s + before_s) % events.every_s - before_s
        times_s = np.arange(first_s, length_s, events.every_s)
        return times_s + SCHEDULE_JITTER_S * rng.standard_normal(len(times_s))

    per_step = np.full(len(profile), events.per_day / DAY_S * step_s)
    if events.seasonal:
        per_step *= profile
    if events.clumping:
        clump = events.clumping
        per_step *= np.exp(clump * wander(len(profile), CLUMP_TAU_S / step_s, rng) - clump**2 / 2)
    step = np.repeat(np.arange(len(profile)), rng.poisson(per_step))
    earlier_s = rng.uniform(-before_s, 0.0, rng.poisson(events.per_day / DAY_S * before_s))
    return np.concatenate([earlier_s, (step + rng.random(len(step))) * step_s])


def _event_shapes(
    events: Events, begin_s: Series, height: Series, hold_s: Series, n_steps: int, step_s: float
) -> Series:
    """Sum of rise, hold and decay of each event, evaluated in the middle of the steps it touches."""
    first = _step_at(begin_s, step_s, n_steps)
    touched = _step_at(begin_s + hold_s + _edges_s(events), step_s, n_steps) - first
    event = np.repeat(np.arange(len(begin_s)), touched)
    step = np.arange(len(event)) - np.repeat(np.cumsum(touched) - touched - first, touched)

    since_begin_s = (step + 0.5) * step_s - begin_s[event]
    since_hold_s = since_begin_s - events.rise_s - hold_s[event]
    end = np.exp(-since_hold_s.clip(0.0) / events.decay_s) if events.decay_s else 1.0 - since_hold_s / events.rise_s
    shape = np.minimum(since_begin_s / events.rise_s, end).clip(0.0, 1.0)
    level: Series = np.bincount(step, height[event] * shape, minlength=n_steps).astype(np.float64)
    return level


def _step_at(time_s: Series, step_s: float, n_steps: int) -> NDArray[np.int64]:
    """First step whose middle is not before the time."""
    return np.ceil(time_s / step_s - 0.5).clip(0, n_steps).astype(np.int64)


def _edges_s(events: Events) -> float:
    """How long an event lasts besides its hold; an exponential end is cut at `DECAY_CUT` time constants."""
    return events.rise_s + (DECAY_CUT * events.decay_s if events.decay_s else events.rise_s)


def _expected_events(events: Events) -> float:
    """Mean level that a group of events adds in the long run."""
    per_s = 1.0 / events.every_s if events.every_s else events.per_day / DAY_S
    height = events.height * math.exp(events.height_sigma**2 / 2)
    end_s = events.decay_s * -math.expm1(-DECAY_CUT) if events.decay_s else events.rise_s / 2
    return per_s * height * (events.rise_s / 2 + events.hold_s * math.exp(events.hold_sigma**2 / 2) + end_s)


def _idle(idle: Idle, n_steps: int, step_s: float, rng: np.random.Generator) -> Series:
    """1, or `level_ratio` where at least one idle stretch covers the step."""
    before_s = 5 * idle.mean_s
    count = rng.poisson(idle.per_day / DAY_S * (before_s + n_steps * step_s))
    begin_s = rng.uniform(-before_s, n_steps * step_s, count)
    end_s = begin_s + rng.exponential(idle.mean_s, count)
    open_stretches = np.cumsum(
        np.bincount(_step_at(begin_s, step_s, n_steps), minlength=n_steps + 1)
        - np.bincount(_step_at(end_s, step_s, n_steps), minlength=n_steps + 1)
    )
    return np.where(open_stretches[:n_steps] > 0, idle.level_ratio, 1.0)


def _check_grid(n_steps: int, step_s: float) -> None:
    if not 1 <= n_steps <= MAX_STEPS:
        raise InputError(f"demand: n_steps is {n_steps}, must be within 1..{MAX_STEPS}")
    if not 1.0 <= step_s <= MAX_STEP_S:
        raise InputError(f"demand: step_s is {step_s}, must be within 1..{MAX_STEP_S:g}")
