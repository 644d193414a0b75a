"""One tick: gather, decide, act. Who is due and what is reported afterwards is left to the caller."""

import asyncio
from collections.abc import Sequence

from controller.ports import Ports, Target
from scaling.decide import Request, decide_all
from scaling.decision import Action, Decision
from scaling.observation import Observation
from scaling.policy import Policy
from scaling.spec import Mode


async def reconcile(targets: Sequence[Target], ports: Ports, policy: Policy, now_s: float) -> list[Decision]:
    """Decide for all targets, which share a policy, and write what changes; a target in Shadow is never written."""
    observations = await asyncio.gather(*(_observe(target, ports, now_s) for target in targets))
    requests = [
        Request(observation, target.resource.spec, target.state)
        for target, observation in zip(targets, observations, strict=True)
    ]
    decisions = decide_all(requests, policy, now_s)
    await asyncio.gather(*(_act(target, decision, ports) for target, decision in zip(targets, decisions, strict=True)))
    return decisions


async def _observe(target: Target, ports: Ports, now_s: float) -> Observation:
    demand, bad_ratio, scale = await asyncio.gather(  # together, so that a source that hangs costs one deadline
        ports.metrics.demand(target, now_s), ports.metrics.bad_ratio(target, now_s), ports.workloads.scale(target)
    )
    return Observation(demand, scale.replicas, scale.ready, bad_ratio)


async def _act(target: Target, decision: Decision, ports: Ports) -> None:
    if decision.action is not Action.HOLD and target.resource.spec.mode is not Mode.SHADOW:
        await ports.workloads.set_replicas(target, decision.final_replicas)
