"""Work side by side, in processes and on a Ray cluster of two nodes: the same results, also when one dies."""

import os
import signal
import time
from pathlib import Path

import pytest

from controller.policy_choice import policy_named
from scaling.errors import InputError
from sim.generated_traces import generated_traces
from training.evaluate import EvaluateConfig, evaluate, evaluate_part, parts_of
from training.fan_out import Processes, Ray

pytestmark = pytest.mark.slow

CONFIG = EvaluateConfig(days=0.05)


def doubled(number):
    return 2 * number


def dies_once(folder):
    """Kills its process the first time."""
    mark = Path(folder) / "been-here"
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def dies(_):
    os.kill(os.getpid(), signal.SIGKILL)


def refuses(value):
    raise InputError(f"{value} cannot be used")


def comparison():
    return generated_traces(0.05, seed=1), policy_named("default")


def test_processes_give_results_in_order_and_pass_errors_on():
    assert list(Processes(2).map(doubled, range(3))) == [0, 2, 4]
    with pytest.raises(InputError, match=r"^7 cannot be used$"):
        list(Processes(2).map(refuses, [7]))


def test_a_process_that_is_killed_is_followed_by_another_and_one_that_always_dies_is_given_up(tmp_path):
    assert list(Processes(1).map(dies_once, [str(tmp_path)])) == ["done"]
    with pytest.raises(RuntimeError, match=r"^a worker process died 3 times$"):
        list(Processes(1).map(dies, [0]))


def test_a_comparison_in_parts_is_the_comparison():
    traces, policy = comparison()
    whole = evaluate(traces, policy, CONFIG, lambda step, steps: None)
    parts = [row for part in parts_of(traces, policy, CONFIG) for row in evaluate_part(part)]
    assert sorted(parts, key=repr) == sorted(whole, key=repr)


@pytest.fixture(scope="module")
def two_nodes(tmp_path_factory):
    """A head without room for work, and two nodes with one CPU each."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    try:
        yield cluster, nodes
    finally:
        ray.shutdown()
        cluster.shutdown()


def where(folder):
    """Note which node this runs on, and work for a while."""
    import ray

    node = ray.get_runtime_context().get_node_id()
    (Path(folder) / f"{node}.{os.getpid()}.{time.monotonic_ns()}").touch()
    time.sleep(3.0)
    return node


def test_on_ray_the_results_are_the_same_and_a_lost_node_loses_nothing(two_nodes, tmp_path):
    cluster, nodes = two_nodes
    ray = Ray(cluster.address)
    traces, policy = comparison()
    parts = parts_of(traces, policy, CONFIG)
    assert list(ray.map(evaluate_part, parts)) == [evaluate_part(part) for part in parts]
    with pytest.raises(InputError, match=r"^7 cannot be used$"):
        list(ray.map(refuses, [7]))

    results = ray.map(where, [str(tmp_path)] * 4)
    begun: set[str] = set()
    first = next(results)
    begun |= {path.name.partition(".")[0] for path in tmp_path.iterdir()}
    assert len(begun) == 2, "both nodes work"
    cluster.remove_node(nodes[1], allow_graceful=False)
    rest = list(results)
    assert len([first, *rest]) == 4
