"""One reading taken into a workload's memory, and all that is worked out anew from it.

The operator and the simulated fleet run the same kernel.
"""

from scaling.band import aim
from scaling.capacity import observe_bad
from scaling.kernel import Record, kernel
from scaling.reference import reference_hpa
from scaling.workload import observe

NOT_MEASURED = -1.0
"""In place of a share of bad requests that nobody measures."""


@kernel
def take_reading(w: Record, terms: Record, level: float, bad_ratio: float, ready: int, steps: int) -> None:
    """Advance the memory by so many steps with a demand of `level` pods, which `ready` replicas served.

    `steps` can be 0 between two steps of the memory's grid: rules and guards then go by the new level all the same.
    """
    for _ in range(steps):
        observe(w, level, terms["price"], terms["horizon"])
        if bad_ratio >= 0.0:
            observe_bad(w, bad_ratio, ready)
    w["level"] = level
    reference_hpa(w, terms)
    aim(w, terms["horizon"])
