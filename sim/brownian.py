"""The late share of a queue that began empty and has not settled: reflected Brownian motion, then exponential service.

With spare capacity `slack` (as a share of capacity, negative in overload) and variance 2 x `noise_s` a second, the wait
W at `age_s` is Brownian motion held above 0. With N = Normal(slack x age, 2 x noise x age)

    P(W > w) = P(N < -w) + exp(-slack x w / noise) x P(N > w)

Below full the queue has room to wander before anybody waits. To the wait that is a reserve to climb first: W becomes
max(0, W - reserve), the reserve such that an old queue has the wait probability of M/M/c.

The service time on top is taken in closed form: no quadrature, a handful of exponentials. What the numbers mean, and
when this is asked, is `sim.latency`'s.

Source: J. Abate, W. Whitt, Transient behavior of regulated Brownian motion I: starting at the origin, Advances in
Applied Probability 19(3), 1987, https://doi.org/10.2307/1427408 (the distribution of W).
"""

import math

from scaling.kernel import kernel

ROOT_TWO_PI = math.sqrt(2.0 * math.pi)
GAUSS = 0.5 - 0.5 / math.sqrt(3.0)
"""First of the two Gauss-Legendre points of a unit interval."""
INSTANT_S = 1e-7
"""A climb of the wait that is none: averaging over less would drown in rounding."""
SURE = 7.0
"""Standard deviations past the objective from which everybody is late."""


@kernel
def growing_late_ratio(
    age_s: float,
    excess_s: float,
    slack: float,
    noise_s: float,
    service_rate: float,
    objective_s: float,
    dt_s: float,
    room: float,
) -> float:
    """Mean late share of a step that begins at `age_s`, from two points of it.

    `room` as in `sim.latency`; `excess_s` of work waits on top and drains by `slack`. In overload the mean wait climbs
    through the objective, steeply in a large cluster: so each half of the step averages exactly over its stretch.
    """
    slack = _off_resonance(slack, noise_s, service_rate)
    reserve_s = room * noise_s if slack <= 0.0 else math.log(1.0 + slack * room) * noise_s / slack
    rise_s = max(0.0, -0.5 * slack * dt_s)
    late = 0.0
    for half in range(2):
        point_s = dt_s * (GAUSS if half == 0 else 1.0 - GAUSS)
        left_s = objective_s - max(0.0, excess_s - max(0.0, slack) * point_s)
        spread_s = math.sqrt(2.0 * noise_s * (age_s + point_s))
        drift = slack * (age_s + point_s) / spread_s
        over_s = -slack * (age_s + 0.5 * half * dt_s) - left_s - reserve_s
        if left_s <= 0.0 or over_s > SURE * spread_s:
            late += 0.5
        else:
            late += 0.5 * _late_at(drift, spread_s, reserve_s, service_rate, left_s, over_s, rise_s)
    return late


@kernel
def _late_at(
    drift: float,
    spread_s: float,
    reserve_s: float,
    service_rate: float,
    objective_s: float,
    over_s: float,
    rise_s: float,
) -> float:
    """P(W + S > objective) at one age; `drift` is slack x age in spreads, `over_s` how far -N is over the objective.

    The integral over the service time runs between two levels of the wait: none, and the whole objective.
    """
    tilt = service_rate * spread_s
    direct_low, mirror_low = _above(reserve_s / spread_s, drift, tilt)
    direct, mirror = _above((reserve_s + objective_s) / spread_s, drift, tilt)
    if rise_s > INSTANT_S:
        climbed_s = _overtime(over_s + rise_s, spread_s, service_rate) - _overtime(over_s, spread_s, service_rate)
        direct = climbed_s / rise_s
    service_tail = math.exp(-service_rate * objective_s)
    folded = direct + mirror - service_tail * (direct_low + mirror_low)
    return min(1.0, max(service_tail, service_tail + folded))


@kernel
def _above(level: float, drift: float, tilt: float) -> tuple[float, float]:
    """The two terms of P(W + S > level), in spreads, were the wait not cut off at 0; `tilt` is the service rate."""
    high = level + drift
    bell = math.exp(-0.5 * high * high)
    served = _tilted(tilt - high, tilt * (0.5 * tilt - high), bell)
    mirror = _tilted(level - drift, -2.0 * level * drift, bell) + served
    return _normal(-high, bell) + served, mirror / (1.0 - 2.0 * drift / tilt)


@kernel
def _overtime(over_s: float, spread_s: float, service_rate: float) -> float:
    """E max(0, X) of X = Normal(over, spread^2) + service: its slope over `over_s` is P(X > 0)."""
    mean = over_s / spread_s
    tilt = service_rate * spread_s
    bell = math.exp(-0.5 * mean * mean)
    above = _normal(mean, bell)
    service = _tilted(mean + tilt, tilt * (mean + 0.5 * tilt), bell)
    return spread_s * (mean * above + bell / ROOT_TWO_PI) + (service + above) / service_rate


@kernel
def _off_resonance(slack: float, noise_s: float, service_rate: float) -> float:
    """Step 0.1 % aside where wait and service decay at the same rate and the closed form is 0 / 0."""
    if abs(service_rate * noise_s - slack) < 1e-3 * service_rate * noise_s:
        return 0.999 * service_rate * noise_s
    return slack


@kernel
def _normal(x: float, bell: float) -> float:
    """Normal distribution function, given `bell` = exp(-x^2 / 2)."""
    if x > 0.0:
        return 1.0 - bell * scaled_tail(x)
    return bell * scaled_tail(-x)


@kernel
def _tilted(x: float, exponent: float, bell: float) -> float:
    """`bell` times exp(x^2 / 2) times the normal tail at x; `exponent` is the log of the first two's product."""
    if x >= 0.0:
        return bell * scaled_tail(x)
    return math.exp(exponent) - bell * scaled_tail(-x)


@kernel
def scaled_tail(x: float) -> float:
    """exp(x^2 / 2) times the normal tail at x >= 0, to a relative 5e-8 (rational function fitted for the purpose)."""
    top = 0.5 + x * (0.4753441481 + x * (0.2119043713 + x * (0.05063391878 + x * 0.005687021843)))
    bottom = 1.0 + x * (1.748574767 + x * (1.318946852 + x * (0.5454030034 + x * (0.1269206166 + x * 0.01425524975))))
    return top / bottom
