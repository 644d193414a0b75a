"""A dry-run's operator, put together and not run: nothing in it can write to a scale."""

import asyncio
import gc
import types

import pytest

from controller.cluster.workloads import ClusterWorkloads, ReadOnlyWorkloads
from controller.operator.operator import Operator
from controller.operator.settings import OperatorSettings
from controller.prometheus.access import PrometheusSettings
from forescale.operator import _twins

SETTINGS = OperatorSettings(prometheus=PrometheusSettings(url="http://127.0.0.1:9"))


def reachable(start):
    """Every object that can be reached from one, without the programs' own text: modules, classes, globals."""
    seen, waiting = {id(start): start}, [start]
    while waiting:
        each = waiting.pop()
        inner = (
            (each.__closure__, each.__defaults__) if isinstance(each, types.FunctionType) else gc.get_referents(each)
        )
        for one in inner:
            if not isinstance(one, type | types.ModuleType) and id(one) not in seen:
                seen[id(one)] = one
                waiting.append(one)
    return seen.values()


@pytest.mark.parametrize(
    ("rehearse", "writing", "lease"),
    [
        pytest.param(None, 1, "forescale", id="acting"),
        pytest.param(_twins, 0, "forescale-dry-run", id="dry-run"),
    ],
)
def test_only_who_acts_has_something_that_writes_scales_and_a_dry_run_has_a_lease_of_its_own(rehearse, writing, lease):
    async def run():
        operator = Operator(SETTINGS, rehearse)
        found = list(reachable(operator))
        assert sum(isinstance(each, ClusterWorkloads) for each in found) == writing
        assert sum(isinstance(each, ReadOnlyWorkloads) for each in found) == 1
        assert operator.lease.settings.name == lease

    asyncio.run(run())
