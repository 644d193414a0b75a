"""The operator put together: what watches, what reads, what decides, what writes, and how it all starts and stops."""

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from controller.cluster.access_review import EVERYWHERE, READING, WRITING, leading, missing
from controller.cluster.api import KubeApi
from controller.cluster.api_access import ApiSettings
from controller.cluster.competitors import HPA, SCALED_OBJECT, Competitors
from controller.cluster.discovery import Discovery
from controller.cluster.lease import Lease, LeaseSettings
from controller.cluster.reporter import Reporter
from controller.cluster.startup import Startups
from controller.cluster.watched import WatchedWorkloads
from controller.cluster.workloads import ClusterWorkloads, ReadOnlyWorkloads
from controller.operator.ceilings import Ceilings
from controller.operator.clock import Clock
from controller.operator.exporter import OperatorMetrics
from controller.operator.health import Health
from controller.operator.history import Histories
from controller.operator.loop import Loop
from controller.operator.off_limits import OffLimits, own_pod
from controller.operator.pages import pages
from controller.operator.policies import Policies, PolicyRecord
from controller.operator.policy_book import PolicyBook
from controller.operator.policy_reader import PolicyReader
from controller.operator.process import set_up
from controller.operator.query_rules import QueryRules
from controller.operator.report import Reports
from controller.operator.restart import restore
from controller.operator.resync import Kept, Resync
from controller.operator.settings import OperatorSettings
from controller.operator.told import Note, Told
from controller.operator.turns import Turns, in_turns
from controller.operator.watch import Watch, Watched
from controller.ports import Metrics, Ports, Target, WouldBe
from controller.prometheus.http import PrometheusHttp
from controller.prometheus.metrics import PrometheusMetrics
from controller.reconcile import Outcome
from scaling.decide import PolicyState
from scaling.decision import Reason
from scaling.policy import Policy

log = logging.getLogger(__name__)

LEASE_DEADLINE_S = 5.0
"""For one request about the Lease, which itself gives up a try a little sooner."""

DRY_RUN = "-dry-run"
"""After the name of the Lease that operators take which act: a dry-run holds up none of them."""


@dataclass(frozen=True)
class Rehearsal:
    """The world of a dry-run."""

    ports: Ports
    forget: Callable[[Target], None]
    """Drops what is simulated of a target."""
    would_be: Callable[[Target], WouldBe | None]
    """What would be now; None where that is not known."""


Rehearse = Callable[[Metrics, ReadOnlyWorkloads], Rehearsal]
"""Makes the world of a dry-run out of what reads."""


def serve(settings: OperatorSettings, rehearse: Rehearse | None = None) -> None:
    """Serve until SIGTERM or SIGINT; with `rehearse` nothing that could write to a scale is constructed."""
    asyncio.run(_serve(settings, rehearse))


async def _serve(settings: OperatorSettings, rehearse: Rehearse | None) -> None:
    set_up()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await Operator(settings, rehearse).run(stop)


class Operator:
    """All parts, wired."""

    def __init__(self, settings: OperatorSettings, rehearse: Rehearse | None = None) -> None:
        self.settings = settings
        self.clock = Clock()
        self.exporter = OperatorMetrics(self.clock.now_s)
        access = ApiSettings(
            kubeconfig=settings.kubeconfig,
            context=settings.context,
            requests_per_s=settings.requests_per_s,
            burst=settings.burst,
            allow_plain_http_credentials=settings.allow_plain_http_credentials,
        )
        self.api = KubeApi(access, self.exporter.called_api)
        # its own, so that nothing holds a renewal up
        self.lease_api = KubeApi(replace(access, deadline_s=LEASE_DEADLINE_S), self.exporter.called_api)
        acting = LeaseSettings(namespace=settings.lease_namespace, name=settings.lease_name)
        own = acting if rehearse is None else replace(acting, name=acting.name + DRY_RUN)
        self.lease = Lease(self.lease_api, own, on_change=self._lead)
        self.others = None if rehearse is None else Lease(self.lease_api, acting)
        """Theirs who act, beside a dry-run: while one of them reports, it does not."""
        self.http = PrometheusHttp(settings.prometheus, self.exporter.asked_prometheus)
        self.prometheus = PrometheusMetrics(self.http, self.clock.now_s)
        denied = frozenset(settings.denied_namespaces).difference(settings.namespaces)
        off_limits = OffLimits(denied, own_pod(), settings.allowed_kinds)
        ceilings = Ceilings(settings.max_replicas, settings.max_policies_per_namespace)
        rules = QueryRules(settings.query_language, settings.namespace_label)
        self.policies = Policies(self.clock.now_s, off_limits, ceilings, rules)
        self.competitors, self.watched, self.book = Competitors(), WatchedWorkloads(), PolicyBook()
        self.policy_reader = PolicyReader(self.api, self.policies, self.book)
        self._build_ports(rehearse)
        self.workloads.on_backoff = self.exporter.backed_off
        self.startups = Startups(self.api, self.workloads.selector)
        self.reporter = Reporter(self.api, self._may_report, self.lease.settings.identity, self.exporter.reported)
        would_be = None if self.rehearsal is None else self.rehearsal.would_be
        self.reports = Reports(
            self.reporter,
            self.exporter,
            self.book,
            self.startups,
            self.clock,
            would_be,
            self.prometheus.newest_at_s,
        )
        self.histories = Histories(self.prometheus, self.ports.workloads.scale, self.clock)
        self.loop = Loop(
            self.policies,
            self.ports,
            self.histories,
            self.clock,
            policy_of=self._policy_of,
            group_of=self.prometheus.group_key,
            may_act=self.lease.held,
            report=self._report,
            ended=self.exporter.decided,
            learn=self.prometheus.learn,
        )
        self._records = self._kept()
        self.watch = Watch(
            self._kinds(), access, settings.namespaces, self.exporter.watch_restarted, self.exporter.called_api
        )
        self.resync = Resync(self.api, self._records, settings.namespaces, self._watch_again)
        self.health = Health(self.policies, self.lease, self.watch, self.clock)
        self.policies.on_change, self.policies.on_gone, self.policies.on_release = (
            self._take,
            self._leave,
            self._release,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Start everything, decide until stopped, and stop in the reverse order."""
        async with AsyncExitStack() as stack:
            for part in (self.api, self.lease_api, self.http):
                await stack.enter_async_context(part)
            port = await stack.enter_async_context(
                pages(
                    self.settings.host,
                    self.settings.port,
                    self.exporter.registry,
                    self.health.wrong,
                    self.health.unready,
                )
            )
            log.info("pages on %s:%d", self.settings.host, port)
            stack.push_async_callback(self.watch.stop)
            self.watch.start()
            await self._work(stop)
        log.info("stopped")

    async def _work(self, stop: asyncio.Event) -> None:
        """The loop ends first and then reporting, while the Lease is still ours; releasing it comes last."""
        decided, reported = asyncio.Event(), asyncio.Event()
        deciding = asyncio.create_task(self.loop.run(stop), name="loop")
        reporting = asyncio.create_task(self.reporter.run(decided), name="reporter")
        leading = asyncio.create_task(self.lease.run(reported), name="lease")
        helpers = [asyncio.create_task(work, name=name) for name, work in self._background(stop).items()]
        try:
            ended, _ = await asyncio.wait([deciding, reporting, leading, *helpers], return_when=asyncio.FIRST_COMPLETED)
            if not stop.is_set():
                task = ended.pop()
                raise RuntimeError(f"the {task.get_name()} ended by itself") from task.exception()
        finally:
            stop.set()
            await asyncio.gather(deciding, return_exceptions=True)
            decided.set()
            await asyncio.gather(reporting, return_exceptions=True)
            reported.set()
            await asyncio.gather(leading, return_exceptions=True)
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)

    def _background(self, stop: asyncio.Event) -> dict[str, Coroutine[Any, Any, None]]:
        work = {
            "histories": self.histories.run(),
            "lag meter": self.exporter.watch_lag(stop),
            "resync": self.resync.run(),
            "policy reader": self.policy_reader.run(),
            "rights": self._check_rights(stop),
        }
        return work if self.others is None else {**work, "look at the Lease": self.others.watch(stop)}

    async def _check_rights(self, stop: asyncio.Event) -> None:
        """Say once which rights are missing."""
        served = self.settings.namespaces
        rights = [*READING, *(() if self.rehearsal else WRITING), *(() if served else EVERYWHERE)]
        lacking = await missing(self.api, rights, served)
        lacking += await missing(self.api, leading(self.lease.settings.name), [self.lease.settings.namespace])
        for right in lacking:
            log.warning("not allowed: %s", right)
        await stop.wait()

    def _build_ports(self, rehearse: Rehearse | None) -> None:
        kinds = Discovery(self.api)
        if rehearse is None:
            writing = ClusterWorkloads(self.api, self.watched, kinds, self.competitors, self.lease.held, self._reset)
            self.workloads: ReadOnlyWorkloads = writing
            self.ports = Ports(self.prometheus, writing)
            self.rehearsal: Rehearsal | None = None
        else:
            self.workloads = ReadOnlyWorkloads(self.api, self.watched, kinds, self.competitors, self._reset)
            self.rehearsal = rehearse(self.prometheus, self.workloads)
            self.ports = self.rehearsal.ports

    def _kinds(self) -> list[Watched]:
        return [Watched(kept.group, kept.version, kept.plural, kept.told.note) for kept in self._records if kept.told]

    def _kept(self) -> list[Kept]:
        """What is kept of what the watches told, for the full listings."""

        def workloads(kind: str, plural: str) -> Kept:
            return Kept(
                "apps",
                "v1",
                plural,
                lambda: self.watched.known("apps/v1", kind),
                partial(self.watched.keep, "apps/v1", kind),
                told=Told(self.watched.note),
            )

        def competitors(group: str, version: str, plural: str, kind: str, note: Note) -> Kept:
            return Kept(
                group,
                version,
                plural,
                lambda: self.competitors.known(kind),
                partial(self.competitors.keep, kind),
                partial(self.competitors.note_unlisted, kind),
                self._watch_again,
                told=Told(note),
            )

        return [
            Kept(
                "forescale.dev",
                "v1alpha1",
                "scalingpolicies",
                self.policies.known,
                self.policies.keep,
                on_untold=self._watch_again,
                are_all=True,
                told=Told(Turns(self._note_policy)),
            ),
            workloads("Deployment", "deployments"),
            workloads("StatefulSet", "statefulsets"),
            competitors("autoscaling", "v2", "horizontalpodautoscalers", HPA, self.competitors.note_hpa),
            competitors("keda.sh", "v1alpha1", "scaledobjects", SCALED_OBJECT, self.competitors.note_scaled_object),
        ]

    def _watch_again(self) -> None:
        self.watch.restart()

    # Events of the watches and of the Lease

    def _note_policy(self, event: str | None, body: Mapping[str, Any]) -> None:
        if event is None and self.policies.get(body["metadata"]["uid"]) is not None:
            self.resync.soon()
        self.policies.note(event, body)

    def _policy_of(self, record: PolicyRecord) -> Policy | None:
        asked = self.book.find(record)
        return None if asked is None else asked.policy

    def _take(self, record: PolicyRecord) -> None:
        self.policy_reader.want(record)
        self.loop.take(record)
        if record.target is None:
            self.competitors.drop(record.uid)
            self.reports.note_invalid(record)
            return
        self.competitors.note_policy(None, _as_competitor(record, record.target))
        if record.last_evaluated_s is None:
            restore(record, self.clock)

    def _leave(self, record: PolicyRecord) -> None:
        if not self.policies.known():
            self.resync.soon()
        self.loop.leave(record)
        self.reports.forget(record)
        self.competitors.drop(record.uid)

    def _release(self, target: Target) -> None:
        self.prometheus.forget(target)
        self.workloads.forget(target)
        self.startups.forget(target)
        if self.rehearsal is not None:
            self.rehearsal.forget(target)

    def _may_report(self) -> bool:
        return self.lease.held() and (self.others is None or self.others.is_free())

    def _lead(self, held: bool) -> None:
        """What another instance decided meanwhile is in the cluster; what we remember is too old to act on, our changes
        apart."""
        self.exporter.leads(held)
        if not held:
            return
        self.competitors.manager_conflicts.clear()
        self.workloads.ask_again()
        self.resync.soon()
        for record in self.policies:
            record.reset(self.clock.now_s())
            if record.target is not None:
                before = record.target.state
                record.target.state = PolicyState(behavior=before.behavior, fell_back=before.fell_back)
        self._taking = asyncio.create_task(self._take_all(), name="take all")

    async def _take_all(self) -> None:
        async for record in in_turns(self.policies):
            if self.policies.get(record.uid) is record:
                self._take(record)

    def _reset(self, target: Target) -> None:
        """The target is another object than it was: what is remembered belongs to the old one."""
        target.state, target.holds = PolicyState(), (*target.holds, Reason.JUST_STARTED)
        self.startups.forget(target)
        record = self.policies.named(target.resource.namespace, target.resource.name)
        if record is not None and record.target is target:
            record.startup_s = None
            record.reset(self.clock.now_s())
            self.loop.take(record)

    def _report(self, seen: Sequence[tuple[PolicyRecord, Outcome]]) -> None:
        self.reports.note(seen)
        sampled = {record.uid: self.prometheus.newest_at_s(outcome.target) for record, outcome in seen}
        self.loop.schedule.follow({uid: at_s for uid, at_s in sampled.items() if at_s is not None})


def _as_competitor(record: PolicyRecord, target: Target) -> dict[str, Any]:
    """What the policies beside it must know of one that is served."""
    ref = target.resource.target
    names = {"uid": record.uid, "namespace": record.namespace, "name": record.name, "creationTimestamp": record.created}
    scaled = {"apiVersion": ref.api_version, "kind": ref.kind, "name": ref.name}
    return {"metadata": names, "spec": {"scaleTargetRef": scaled, "mode": target.resource.spec.mode.value}}
