"""The simulator's queue against a discrete-event simulation: `python -m benchmarks.queueing [--json FILE]`.

Every setting is a few steps of 15 s at given loads. simpy plays them request by request: Poisson arrivals, exponential
service, one first-come first-served queue, the same time-out rule. `sim.latency.queue_step` is then driven twice over
the same steps: with the requests counted in each run, as the simulator drives it, and with the mean rate.

Late shares are of all requests that arrive in the judged steps; +- is one standard error over the runs, that of an
error over the runs' own errors. S is the mean service time. Seeds are fixed: the same table every time.
"""

import argparse
import json
import math
import random
import time
from collections.abc import Generator
from dataclasses import asdict, dataclass
from pathlib import Path

import simpy
from simpy.resources.resource import Request

from sim.latency import COUNTED, MEAN_RATE, queue_step

STEP_S = 15.0
WARM_UP_S = 5.0
"""What is played of the first step: its low load settles within a second or two."""


@dataclass(frozen=True)
class Setting:
    """Steps of one cluster, and which of them are judged."""

    name: str
    servers: tuple[int, ...]
    """Of each step: pods x workers."""
    loads: tuple[float, ...]
    """Demand of each step over the capacity of its servers."""
    objective_s: float
    judged: tuple[int, ...]
    runs: int
    service_s: float = 0.1
    timeout_s: float = 30.0


@dataclass(frozen=True)
class Row:
    """What the table shows of a setting; shares of requests."""

    name: str
    servers: int
    load: float
    service_s: float
    objective_s: float
    late: float
    late_error: float
    model: float
    error: float
    error_error: float
    mean_rate_model: float


@dataclass
class Counts:
    """Requests of each step by the step of their arrival."""

    arrived: list[int]
    late: list[int]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the rows to this file too")
    arguments = parser.parse_args()
    began_s = time.perf_counter()
    print_head()
    rows = [print_row(compare(setting)) for setting in SETTINGS]
    print_summary(rows)
    print(f"\n{len(rows)} settings in {time.perf_counter() - began_s:.0f} s")
    if arguments.json:
        arguments.json.write_text(json.dumps({"rows": [asdict(row) for row in rows]}, indent=1) + "\n")


def compare(setting: Setting) -> Row:
    """Play a setting `runs` times and put the model beside it."""
    runs = [simulate(setting, seed) for seed in range(setting.runs)]
    arrived = [sum(run.arrived[step] for step in setting.judged) for run in runs]
    late = [float(sum(run.late[step] for step in setting.judged)) for run in runs]
    mean_rates = [
        load * servers / setting.service_s for load, servers in zip(setting.loads, setting.servers, strict=True)
    ]
    model = [model_late(setting, [mean_rates[0], *counted_rates(run)], COUNTED) for run in runs]
    mean_arrived = sum(mean_rates[step] * STEP_S for step in setting.judged)
    last = setting.judged[-1]
    return Row(
        name=setting.name,
        servers=setting.servers[last],
        load=setting.loads[last],
        service_s=setting.service_s,
        objective_s=setting.objective_s,
        late=ratio(late, arrived),
        late_error=ratio_error(late, arrived),
        model=ratio(model, arrived),
        error=ratio(model, arrived) - ratio(late, arrived),
        error_error=ratio_error([m - d for m, d in zip(model, late, strict=True)], arrived),
        mean_rate_model=model_late(setting, mean_rates, MEAN_RATE) / mean_arrived,
    )


def counted_rates(run: Counts) -> list[float]:
    """Requests/s of the steps after the first."""
    return [count / STEP_S for count in run.arrived[1:]]


def model_late(setting: Setting, rates_rps: list[float], variability: float) -> float:
    """Late requests of the judged steps by the simulator's queue."""
    backlog, late = 0.0, 0.0
    for step, (servers, rate_rps) in enumerate(zip(setting.servers, rates_rps, strict=True)):
        _, backlog, _, late_ratio = queue_step(
            rate_rps,
            backlog,
            servers,
            1.0,
            setting.service_s,
            setting.objective_s,
            setting.timeout_s,
            variability,
            STEP_S,
        )
        late += late_ratio * rate_rps * STEP_S if step in setting.judged else 0.0
    return late


def simulate(setting: Setting, seed: int) -> Counts:
    """One run, request by request, until the last of them is answered."""
    return _Run(setting, random.Random(f"{setting.name} {setting.servers} {seed}")).play()


def ratio(parts: list[float], wholes: list[int]) -> float:
    return sum(parts) / sum(wholes)


def ratio_error(parts: list[float], wholes: list[int]) -> float:
    """Standard error of `ratio` over independent runs."""
    mean = ratio(parts, wholes)
    squares = sum((part - mean * whole) ** 2 for part, whole in zip(parts, wholes, strict=True))
    return math.sqrt(squares * len(parts) / max(1, len(parts) - 1)) / sum(wholes)


class _Run:
    """Requests queue for a simpy resource whose units are the servers."""

    def __init__(self, setting: Setting, rng: random.Random) -> None:
        self.setting = setting
        self.rng = rng
        self.env = simpy.Environment(initial_time=STEP_S - WARM_UP_S)
        self.desk = simpy.Resource(self.env, max(setting.servers))
        self.counts = Counts([0] * len(setting.loads), [0] * len(setting.loads))

    def play(self) -> Counts:
        self.env.process(self.staff())
        self.env.process(self.arrive())
        self.env.run()
        return self.counts

    def staff(self) -> Generator[simpy.Event, None, None]:
        """Keep the servers that a step has not got occupied; one that leaves finishes its request first."""
        absent: list[Request] = []
        for step, servers in enumerate(self.setting.servers):
            while len(absent) < max(self.setting.servers) - servers:
                absent.append(self.desk.request())
            while len(absent) > max(self.setting.servers) - servers:
                self.desk.release(absent.pop())
            yield self.env.timeout((step + 1) * STEP_S - self.env.now)

    def arrive(self) -> Generator[simpy.Event, None, None]:
        for step, (servers, load) in enumerate(zip(self.setting.servers, self.setting.loads, strict=True)):
            rate_rps = load * servers / self.setting.service_s
            gap_s = self.rng.expovariate(rate_rps)
            while self.env.now + gap_s < (step + 1) * STEP_S:
                yield self.env.timeout(gap_s)
                self.counts.arrived[step] += 1
                if len(self.desk.queue) * self.setting.service_s / servers > self.setting.timeout_s:
                    self.counts.late[step] += 1
                else:
                    self.join(step)
                gap_s = self.rng.expovariate(rate_rps)
            yield self.env.timeout((step + 1) * STEP_S - self.env.now)

    def join(self, step: int) -> None:
        """Queue, be served, leave. Plain callbacks: a process a request takes twice the time."""
        arrived_s = self.env.now
        turn = self.desk.request()

        def begin(_: simpy.Event) -> None:
            self.env.timeout(self.rng.expovariate(1.0 / self.setting.service_s)).callbacks.append(finish)

        def finish(_: simpy.Event) -> None:
            self.desk.release(turn)
            self.counts.late[step] += self.env.now - arrived_s > self.setting.objective_s

        turn.callbacks.append(begin)


def print_head() -> None:
    print("| setting | servers | load | S, objective (s) | simpy: late (%) | model (%) | error | by mean (%) | error |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")


def print_row(row: Row) -> Row:
    print(
        f"| {row.name} | {row.servers} | {row.load:.2f} | {row.service_s:g}, {row.objective_s:g} "
        f"| {100 * row.late:.2f} ± {100 * row.late_error:.2f} "
        f"| {100 * row.model:.2f} | {100 * row.error:+.2f} ± {100 * row.error_error:.2f} "
        f"| {100 * row.mean_rate_model:.2f} | {100 * (row.mean_rate_model - row.late):+.2f} |",
        flush=True,
    )
    return row


def print_summary(rows: list[Row]) -> None:
    print("\n| late share | settings | mean error | mean absolute error | largest |\n|---|--:|--:|--:|--:|")
    for low, high in ((0.0, 0.01), (0.01, 0.05), (0.05, 0.2), (0.2, 1.01)):
        errors = [100 * row.error for row in rows if low <= row.late < high]
        if errors:
            sizes = [abs(error) for error in errors]
            print(
                f"| {100 * low:g}..{min(100, 100 * high):g} % | {len(errors)} | {sum(errors) / len(errors):+.2f} "
                f"| {sum(sizes) / len(sizes):.2f} | {max(sizes):.2f} |"
            )


def _steady(servers: int, load: float, objective_s: float, runs: int, service_s: float = 0.1) -> Setting:
    """Ten steps of one load, judged from the third on."""
    name = f"steady {servers} x {load:g}"
    return Setting(name, (servers,) * 10, (load,) * 10, objective_s, tuple(range(2, 10)), runs, service_s)


def _rise(
    servers: int, low: float, high: float, objective_s: float, runs: int, judged: int = 1, service_s: float = 0.1
) -> Setting:
    """From a low load to a high one; `judged` counts steps from the rise on."""
    name = f"rise {low:g} to {high:g}, step {judged}"
    return Setting(name, (servers,) * (judged + 1), (low, *(high,) * judged), objective_s, (judged,), runs, service_s)


def _burst(servers: int, step: int, objective_s: float, runs: int, timeout_s: float = 30.0) -> Setting:
    """Two steps of overload, then load 0.8; judged `step` steps after."""
    name = f"after a burst of 1.15, step {step}" + (f", time-out {timeout_s:g} s" if timeout_s < 30.0 else "")
    loads = (0.7, 1.15, 1.15, *(0.8,) * step)
    return Setting(name, (servers,) * len(loads), loads, objective_s, (2 + step,), runs, timeout_s=timeout_s)


SETTINGS: tuple[Setting, ...] = (
    _steady(1, 0.5, 0.5, 100),
    _steady(1, 0.8, 1.0, 150),
    _steady(4, 0.7, 0.5, 40),
    _steady(4, 0.85, 0.5, 60),
    _steady(4, 0.9, 1.0, 60),
    _steady(8, 0.3, 0.5, 20),
    _steady(8, 0.85, 0.5, 40),
    _steady(8, 0.9, 0.5, 40),
    _steady(16, 0.9, 0.25, 10),
    _steady(16, 0.95, 0.5, 20),
    _steady(8, 0.95, 0.5, 30, service_s=0.05),
    _steady(40, 0.97, 0.5, 6),
    _rise(4, 0.7, 1.0, 1.0, 500),
    _rise(8, 0.7, 0.95, 0.5, 200),
    _rise(8, 0.7, 1.05, 1.0, 200),
    _rise(16, 0.7, 1.0, 0.5, 80),
    _rise(16, 0.7, 1.0, 1.0, 120, judged=2),
    _rise(40, 0.7, 0.98, 0.5, 40),
    _rise(40, 0.7, 1.03, 1.0, 40),
    _rise(100, 0.8, 1.0, 0.5, 20),
    _rise(100, 0.8, 1.02, 0.5, 24),
    _rise(200, 0.8, 1.0, 0.5, 6),
    _rise(200, 0.8, 1.02, 0.5, 10),
    _rise(8, 0.7, 1.03, 0.5, 80, service_s=0.05),
    _rise(24, 0.8, 1.0, 0.5, 50, service_s=0.05),
    _rise(80, 0.8, 1.02, 0.5, 16, service_s=0.05),
    _burst(8, 2, 0.5, 100),
    _burst(8, 3, 0.5, 60),
    _burst(40, 2, 0.5, 12),
    _burst(40, 1, 0.5, 10, timeout_s=2.0),
    Setting("16 servers, burst, 16 more", (16, 16, 32, 32), (0.7, 1.3, 0.75, 0.75), 0.5, (2,), 25),
    Setting("100 servers, burst, 50 more", (100, 100, 150), (0.8, 1.2, 0.85), 0.5, (2,), 10),
    Setting("a fifth of the servers leave", (40, 40, 32, 32), (0.76, 0.76, 0.95, 0.95), 0.5, (2, 3), 20),
    Setting("ramp to overload", (40,) * 6, (0.8, 0.85, 0.9, 0.95, 1.0, 1.05), 0.5, (2, 3, 4, 5), 10),
    Setting("ramp to full load", (200,) * 5, (0.85, 0.9, 0.95, 0.98, 1.0), 0.5, (2, 3, 4), 2),
    Setting("waves 0.97 / 0.85", (8,) * 8, (0.97, 0.85) * 4, 0.5, tuple(range(2, 8)), 40),
    Setting("waves 1.03 / 0.85", (24,) * 8, (1.03, 0.85) * 4, 0.5, tuple(range(2, 8)), 8),
)


if __name__ == "__main__":
    main()
