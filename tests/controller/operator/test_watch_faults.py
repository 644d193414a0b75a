"""What becomes of the watches when an API server is at its worst: kopf's own, on a stub that lists and tells as it is
bidden.

What a fault may cost is the time until what was created meanwhile is told of, and a listing or two: never an object,
and never a crowd of requests.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kopf
import pytest
from aiohttp import web

from controller.cluster.api_access import ApiSettings
from controller.operator import watch as watch_module
from controller.operator.watch import Watch, Watched
from tests.controller.cluster.api_stub import kubeconfig
from tests.controller.prometheus.stub import serving

pytestmark = pytest.mark.slow

WITHIN_S = 120.0
"""After a fault everything is told within this: a pause of a second, a new start of kopf, and a very busy machine."""
SILENCE_S = 1.0
"""In place of the minutes after which a watch that says nothing is taken for dead."""
TIMES = 4
"""Again and again."""

FIRST_VERSION = 1000
GROUP = "/apis/forescale.dev/v1alpha1"
POLICIES = f"{GROUP}/scalingpolicies"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NAMESPACES = "/api/v1/namespaces"
OTHERS = [f"others{number}" for number in range(5)]
"""Further kinds, of which there is nothing."""

Json = dict[str, Any]
Fault = Callable[["Server", web.StreamResponse], Any]


def a_policy(name: str, version: int) -> Json:
    """As far as a watch records."""
    return {
        "apiVersion": "forescale.dev/v1alpha1",
        "kind": "ScalingPolicy",
        "metadata": {"name": name, "namespace": "shop", "uid": name, "resourceVersion": str(version)},
    }


def an_error(code: int) -> Json:
    """What an API server says in a stream in place of an event."""
    said = {"kind": "Status", "status": "Failure", "code": code, "message": "too old", "reason": "Whatever"}
    return {"type": "ERROR", "object": said}


@dataclass
class Server:
    """An API server with policies, whose watches on them go as `faults` say, one after the other, and then well."""

    faults: list[Fault] = field(default_factory=list)
    refusals: list[int] = field(default_factory=list)
    """Status codes that watches are refused with before that."""
    answers_others: bool = False
    """Whether watches of further kinds are answered, and end at once; else they wait for an answer."""
    objects: dict[str, Json] = field(default_factory=dict)
    log: list[Json] = field(default_factory=list)
    """All events there were."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Whether a request was to list or to watch, or something else, and its path."""
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def make(self, name: str) -> None:
        """Create a policy."""
        self.objects[name] = a_policy(name, self._version() + 1)
        self.tell("ADDED", self.objects[name])

    def tell(self, type_: str, body: Json) -> None:
        """An event for all who watch and for all who come later."""
        self.log.append({"type": type_, "object": body})
        news, self._news = self._news, asyncio.Event()
        news.set()

    def count(self, what: str, path: str = POLICIES) -> int:
        """How often it was asked."""
        return self.asked.count((what, path))

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request."""
        watches = request.query.get("watch") == "true"
        of_others = request.path in [f"{GROUP}/{plural}" for plural in OTHERS]
        listed = of_others or request.path in (POLICIES, CRDS, NAMESPACES)
        self.asked.append(("watch" if watches else "list" if listed else "get", request.path))
        if watches and of_others:
            await asyncio.sleep(0 if self.answers_others else 3600)
            return web.Response()
        if watches:
            return await self._watched(request)
        if listed:
            items = list(self.objects.values()) if request.path == POLICIES else []
            return web.json_response({"metadata": {"resourceVersion": str(self._version())}, "items": items})
        return web.json_response(DISCOVERY[request.path]) if request.path in DISCOVERY else web.Response(status=404)

    def _version(self) -> int:
        """Of a listing, and of the newest event in the log."""
        return FIRST_VERSION + len(self.log)

    async def _watched(self, request: web.BaseRequest) -> web.StreamResponse:
        of_ours = request.path == POLICIES
        if of_ours and self.refusals:
            return web.json_response(an_error(410)["object"], status=self.refusals.pop(0))
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            if of_ours and self.faults:
                await self.faults.pop(0)(self, response)
            elif of_ours:
                await self._told(response, max(0, int(request.query["resourceVersion"]) - FIRST_VERSION))
            else:
                await asyncio.sleep(3600)
        return response

    async def _told(self, response: web.StreamResponse, place: int) -> None:
        """All from a place of the log on, until the connection ends."""
        while True:
            news = self._news
            for event in self.log[place:]:
                await say(response, event)
            place = len(self.log)
            await news.wait()


async def say(response: web.StreamResponse, event: Json) -> None:
    await response.write(json.dumps(event).encode() + b"\n")


def a_resource(plural: str, kind: str, namespaced: bool) -> Json:
    verbs = ["get", "list", "watch"]
    return {"name": plural, "singularName": kind.lower(), "namespaced": namespaced, "kind": kind, "verbs": verbs}


def a_group(name: str, version: str) -> Json:
    place = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [place], "preferredVersion": place}


DISCOVERY: dict[str, Json] = {
    "/version": {"major": "1", "minor": "37"},
    "/api": {"versions": ["v1"]},
    "/apis": {"groups": [a_group("forescale.dev", "v1alpha1"), a_group("apiextensions.k8s.io", "v1")]},
    "/api/v1": {"resources": [a_resource("namespaces", "Namespace", False), a_resource("events", "Event", True)]},
    "/apis/apiextensions.k8s.io/v1": {
        "resources": [a_resource("customresourcedefinitions", "CustomResourceDefinition", False)]
    },
    GROUP: {
        "resources": [
            a_resource("scalingpolicies", "ScalingPolicy", True),
            *(a_resource(plural, plural.capitalize(), True) for plural in OTHERS),
        ]
    },
}


@dataclass
class Stand:
    """A watch on such a server, and what it has told."""

    server: Server
    watch: Watch = field(init=False)
    told: list[tuple[str | None, str, str]] = field(default_factory=list)
    """Type, name and version."""
    restarts: list[str] = field(default_factory=list)
    calls: list[tuple[str, str, str]] = field(default_factory=list)
    """Verb, resource and code."""

    def called(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """Take in that something was asked."""
        assert seconds >= 0.0
        self.calls.append((verb, resource, code))

    def note(self, type_: str | None, body: Any) -> None:
        """Take an event in."""
        self.told.append((type_, body["metadata"]["name"], body["metadata"]["resourceVersion"]))

    async def until_told(self, name: str, within_s: float = WITHIN_S) -> None:
        """Wait for anything about an object."""
        await until(lambda: any(of == name for _, of, _ in self.told), within_s, self.told)

    async def until_watching(self, times: int = 1) -> None:
        """Wait until the policies have been asked to be watched so often."""
        await until(lambda: self.server.count("watch") >= times, times * WITHIN_S, self.server.asked)


async def until(holds: Callable[[], bool], within_s: float, seen: object) -> None:
    give_up_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < give_up_s, seen
        await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def watching(server: Server, folder: Path, others: Sequence[str] = ()) -> AsyncIterator[Stand]:
    """In the whole cluster, as by default; it is stopped at the end, and must have lived."""
    server.make("there")
    async with serving(server.answer) as port:
        access = ApiSettings(kubeconfig=kubeconfig(folder, f"http://127.0.0.1:{port}"))
        stand = Stand(server)
        plurals = ["scalingpolicies", *others]
        kinds = [Watched("forescale.dev", "v1alpha1", plural, stand.note) for plural in plurals]
        stand.watch = Watch(kinds, access, (), lambda: stand.restarts.append("one"), stand.called)
        stand.watch.start()
        try:
            assert not stand.watch.has_begun()
            await stand.until_told("there")
            yield stand
            assert stand.watch.is_running()
            await until(stand.watch.has_begun, WITHIN_S, server.asked)
        finally:
            await stand.watch.stop(WITHIN_S)
        assert not stand.watch.is_running()


def play(server, tmp_path, story, others=()):
    """Tell a story on a stand; what is on it afterwards."""

    async def run():
        async with watching(server, tmp_path, others) as stand:
            await story(stand)
            return stand

    return asyncio.run(run())


async def made_meanwhile(stand):
    """What comes while the watch is not well is told of soon afterwards, and so is what comes later."""
    await stand.until_watching()
    stand.server.make("meanwhile")
    await stand.until_told("meanwhile")
    stand.server.make("later")
    await stand.until_told("later")


async def made_after_a_restart(stand):
    """What comes once kopf has begun again is told of."""
    await until(lambda: stand.restarts, 2 * WITHIN_S, stand.server.asked)
    stand.server.make("meanwhile")
    await stand.until_told("meanwhile")


@pytest.fixture
def quick(monkeypatch):
    """A watch that says nothing is given up after a second."""
    real = watch_module.settings

    def settings(clusterwide: bool = True) -> kopf.OperatorSettings:
        chosen = real(clusterwide)
        chosen.watching.inactivity_timeout = SILENCE_S
        return chosen

    monkeypatch.setattr(watch_module, "settings", settings)


# Faults of a stream


def in_stream(code):
    """An error in place of an event."""

    async def fault(server, response):
        server.make("meanwhile-in-the-fault")
        await say(response, an_error(code))

    return fault


async def closed(server, response):
    """It ends as soon as it has begun."""


async def silent(server, response):
    """It goes on, and nothing comes."""
    await asyncio.sleep(3600)


async def half_said(server, response):
    """It breaks off in the middle of an event."""
    await response.write(b'{"type": "ADDED", "object": {"apiVersion"')
    assert response._req is not None
    assert response._req.transport is not None
    response._req.transport.close()


def test_410_in_the_stream_is_answered_with_a_listing_and_ends_nothing(tmp_path):
    stand = play(Server([in_stream(410)]), tmp_path, made_meanwhile)
    assert stand.server.count("list") == 2
    assert stand.restarts == []


@pytest.mark.parametrize(
    "server",
    [
        pytest.param(lambda: Server(refusals=[410]), id="410 as a status"),
        pytest.param(lambda: Server([in_stream(500)]), id="500 in the stream"),
        pytest.param(lambda: Server([in_stream(500)], [410]), id="one after the other"),
    ],
)
def test_what_ends_kopf_begins_anew_and_lists_everything(server, tmp_path):
    """kopf takes five seconds to end."""
    served = server()
    refusals, faults = list(served.refusals), len(served.faults) + len(served.refusals)

    async def story(stand):
        await stand.until_watching(faults)
        stand.server.make("meanwhile")
        await stand.until_told("meanwhile")
        stand.server.make("later")
        await stand.until_told("later")

    stand = play(served, tmp_path, story)
    assert stand.calls.count(("WATCH", "scalingpolicies", "410")) == len(refusals)
    assert stand.calls.count(("GET", "scalingpolicies", "200")) == stand.server.count("list")
    assert len(stand.restarts) == faults
    assert stand.server.count("list") == 1 + faults


@pytest.mark.parametrize("answers", [False, True], ids=["for an answer", "for their turn to ask"])
def test_what_ends_kopf_while_other_watches_wait_begins_anew_as_well(monkeypatch, answers, tmp_path):
    monkeypatch.setattr(watch_module, "WATCH_EVERY_S", 60.0)
    stand = play(Server(refusals=[410], answers_others=answers), tmp_path, made_after_a_restart, OTHERS)
    assert len(stand.restarts) == 1


def test_a_stream_that_ends_at_once_again_and_again_loses_nothing_and_lists_nothing_again(tmp_path):
    async def story(stand):
        await made_meanwhile(stand)
        await stand.until_watching(TIMES + 1)

    stand = play(Server([closed] * TIMES), tmp_path, story)
    assert stand.server.count("list") == 1
    assert stand.restarts == []


def test_a_stream_that_ends_at_once_again_and_again_is_no_busy_loop(tmp_path):
    """Of four watches that follow each other, three wait for their turn."""

    async def story(stand):
        began_s = time.monotonic()
        await stand.until_watching(stand.server.count("watch") + 4)
        assert time.monotonic() - began_s >= 0.9 * 3 * watch_module.WATCH_EVERY_S

    play(Server([closed] * 10_000), tmp_path, story)


def test_a_stream_that_breaks_off_in_the_middle_of_an_event_loses_none(tmp_path):
    stand = play(Server([half_said] * 3), tmp_path, made_meanwhile)
    assert stand.server.count("list") <= 4


def test_a_silent_stream_is_given_up_and_what_it_did_not_tell_is_told(quick, tmp_path):
    stand = play(Server([silent] * 2), tmp_path, made_meanwhile)
    assert stand.server.count("watch") >= 3
    assert stand.server.count("list") == 1  # it goes on from where it was
    assert stand.restarts == []


def test_a_stream_that_stays_silent_costs_a_request_each_time(quick, tmp_path):
    async def story(stand):
        began_s = time.monotonic()
        await stand.until_watching(stand.server.count("watch") + 5)
        assert time.monotonic() - began_s >= 0.9 * 4 * SILENCE_S

    stand = play(Server([silent] * 100), tmp_path, story)
    assert stand.server.count("list") == 1


def test_events_that_come_twice_and_old_ones_are_passed_on_and_end_nothing(tmp_path):
    """Whose event is older than what is known is for those to tell who take it in; see test_watched.py."""

    async def story(stand):
        await stand.until_watching()
        for version in (300, 300, 200, 400):
            stand.server.tell("MODIFIED", a_policy("there", version))
        await until(lambda: ("MODIFIED", "there", "400") in stand.told, WITHIN_S, stand.told)
        stand.server.make("later")
        await stand.until_told("later")

    stand = play(Server(), tmp_path, story)
    assert stand.server.count("list") == 1
    assert stand.restarts == []
