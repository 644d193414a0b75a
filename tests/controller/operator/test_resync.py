import asyncio
import contextlib

import pytest

from controller.cluster.api import Listed
from controller.cluster.api_answer import ApiError
from controller.operator.resync import MOST_READ, Kept, Resync
from controller.operator.told import Told
from tests.virtual_time import run_virtually


class Listings:
    """Answers listings in turn, by path; the last one stays."""

    def __init__(self, served=200, **answers):
        self.served, self.answers, self.asked = served, answers, asyncio.Event()

    async def get(self, path):
        if self.served != 200:
            raise ApiError("GET", path, self.served, "NotFound", "no")
        return {}

    async def list_names(self, path):
        self.asked.set()
        answer = self.answers[path.split("/")[-2]]
        if isinstance(answer, int):
            raise ApiError("GET", path, answer, "Refused", "no")
        return {uid: Listed(place, "1") for uid, place in answer.items()}


def kept_after(listings, known, namespaces=("one", "two")):
    """What `keep` was told at the start, and again when it was asked for."""
    told = []
    keep = lambda *args: told.append(args)  # noqa: E731  # as told.append, which takes one
    kept = Kept("forescale.dev", "v1alpha1", "scalingpolicies", lambda: known, keep, told.append)
    resync = Resync(listings, [kept], namespaces)

    async def run():
        task = asyncio.create_task(resync.run())
        await listings.asked.wait()
        listings.asked.clear()
        resync.soon()
        await listings.asked.wait()
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])

    run_virtually(asyncio.wait_for(run(), 5.0))
    return told


def test_a_watch_that_began_anew_need_not_wait_for_the_next_listing():
    told = kept_after(Listings(one={"a": "one/x"}, two={}), {"a", "b"})
    assert told == [("one", {"a": "one/x"}, {"a", "b"}), ("two", {}, {"a", "b"})] * 2


@pytest.mark.parametrize("code", [403, 500])
def test_while_a_namespace_cannot_be_listed_the_others_are_known_and_the_cause_is_told(code):
    told = kept_after(Listings(one={"a": "one/x"}, two=code), {"a", "b"})
    failure = f"GET /apis/forescale.dev/v1alpha1/namespaces/two/scalingpolicies: {code} Refused: no"
    assert told == [("one", {"a": "one/x"}, {"a", "b"}), failure] * 2


def test_what_nobody_may_list_because_it_is_not_there_is_not_there():
    told = kept_after(Listings(one=403, two=403, served=404), {"a"})
    assert told == [("one", {}, {"a"}), ("two", {}, {"a"})] * 2


def looks_after(monkeypatch, listings, known, untold_s=0.0, are_all=False):
    """How many times the watch was begun anew; and whether all listings were asked for, one soon after the other."""
    monkeypatch.setattr("controller.operator.resync.RETRY_S", 0.0)
    monkeypatch.setattr("controller.operator.resync.UNTOLD_S", untold_s)
    begun, asked = [], iter(listings)

    class Api:
        async def list_names(self, path):
            return dict.fromkeys(next(asked), Listed("one/x", "1"))

    async def run():
        told = {"on_untold": lambda: begun.append(True), "are_all": are_all}
        kept = Kept("g", "v1", "things", lambda: known, lambda *_: None, **told)
        with contextlib.suppress(TimeoutError, StopAsyncIteration, RuntimeError):
            await asyncio.wait_for(Resync(Api(), [kept], ()).run(), 0.2)  # type: ignore[arg-type]

    run_virtually(run())
    return len(begun), next(asked, None) is None


@pytest.mark.parametrize(
    ("listings", "begun"),
    [
        pytest.param(["ab", "ab", "ab", "ab"], 2, id="never told"),
        pytest.param(["abc", "abd", "a"], 0, id="told slowly"),
        pytest.param(["ab", "abc", "ac"], 1, id="others come meanwhile"),
    ],
)
def test_a_watch_that_tells_nothing_of_what_is_there_is_begun_anew(monkeypatch, listings, begun):
    assert looks_after(monkeypatch, listings, frozenset("a")) == (begun, True)


def test_a_watch_is_given_time_to_tell(monkeypatch):
    assert looks_after(monkeypatch, ["ab", "ab", "ab"], frozenset("a"), untold_s=60.0) == (0, True)


def test_where_there_is_nothing_it_is_looked_at_often_and_else_not(monkeypatch):
    assert looks_after(monkeypatch, ["", "", ""], frozenset(), are_all=True) == (0, True)
    assert looks_after(monkeypatch, ["", "", ""], frozenset()) == (0, False)
    assert looks_after(monkeypatch, ["a", "a", "a"], frozenset("a")) == (0, False)


def test_each_kind_has_its_own_time_to_be_told_of(monkeypatch):
    """A watch that tells of policies can tell nothing of what KEDA brought since."""
    monkeypatch.setattr("controller.operator.resync.RETRY_S", 0.0)
    monkeypatch.setattr("controller.operator.resync.UNTOLD_S", 0.0)
    begun = []

    def a_kind(plural, known):
        return Kept("g", "v1", plural, lambda: known, lambda *_: None, on_untold=lambda: begun.append(plural))

    class Api:
        async def list_names(self, path):
            return {"a": Listed("one/x", "1")} if len(begun) < 2 else {}

    async def run():
        kinds = [a_kind("policies", {"a"}), a_kind("competitors", set())]
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(Resync(Api(), kinds, ()).run(), 0.2)  # type: ignore[arg-type]

    run_virtually(run())
    assert begun == ["competitors"] * 2


def test_a_kind_that_is_gone_takes_all_with_it():
    assert kept_after(Listings(one=404, two=404), {"a"}) == [("one", {}, {"a"}), ("two", {}, {"a"})] * 2


def a_thing(number, version, namespace="shop"):
    meta = {"namespace": namespace, "name": f"web-{number}", "uid": f"u{number}", "resourceVersion": version}
    return {"kind": "Thing", "apiVersion": "g/v1", "metadata": meta}


class Cluster:
    """Things at versions; what was told of them, and how often the watches began anew."""

    def __init__(self, *things):
        self.things = {each["metadata"]["uid"]: each for each in things}
        self.heard: list[tuple[str | None, str]] = []
        self.reads: list[tuple[str, str]] = []
        self.begun = self.listings = 0
        self.told = Told(lambda event, body: self.heard.append((event, body["metadata"]["resourceVersion"])))
        self.while_settling = lambda: None

    async def list_names(self, path):
        self.listings += 1
        asyncio.get_running_loop().call_soon(self.while_settling)
        return {
            uid: Listed(f"{thing['metadata']['namespace']}/{thing['metadata']['name']}", version)
            for uid, thing in self.things.items()
            for version in [thing["metadata"]["resourceVersion"]]
        }

    async def get(self, path, query):
        self.reads.append((path, query["fieldSelector"]))
        name = query["fieldSelector"].removeprefix("metadata.name=")
        items = [each for each in self.things.values() if each["metadata"]["name"] == name]
        bare = [{"metadata": each["metadata"]} for each in items]  # of a list, items do not say what they are
        return {"kind": "ThingList", "apiVersion": "g/v1", "items": bare}

    def reset(self):
        self.begun += 1

    def compared(self, monkeypatch):
        """Compare what was told with what is listed, once."""
        monkeypatch.setattr("controller.operator.resync.SETTLES_S", 0.01)
        kept = Kept("g", "v1", "things", lambda: set(self.things), lambda *_: None, told=self.told)

        self.heard.clear()
        run_virtually(Resync(self, [kept], (), self.reset).compare())  # type: ignore[arg-type]
        return self.heard


@pytest.mark.parametrize(
    ("told", "listed"),
    [
        pytest.param("7", "9", id="a lost event"),
        pytest.param("7", "3", id="a cluster restored to an older version"),
    ],
)
def test_an_object_at_another_version_than_was_told_is_read(monkeypatch, told, listed):
    cluster = Cluster(a_thing(1, listed), a_thing(2, "5"))
    for thing in (a_thing(1, told), a_thing(2, "5")):
        cluster.told.note("ADDED", thing)
    assert cluster.compared(monkeypatch) == [(None, listed)]
    assert cluster.reads == [("/apis/g/v1/namespaces/shop/things", "metadata.name=web-1")]
    assert cluster.compared(monkeypatch) == []


def test_what_the_watch_tells_meanwhile_is_not_read(monkeypatch):
    cluster = Cluster(a_thing(1, "9"))
    cluster.told.note("ADDED", a_thing(1, "7"))
    cluster.while_settling = lambda: cluster.told.note("MODIFIED", a_thing(1, "9"))
    assert cluster.compared(monkeypatch) == [("MODIFIED", "9")]
    assert cluster.reads == []


def test_an_object_that_is_another_one_by_now_is_not_taken_in(monkeypatch):
    cluster = Cluster(a_thing(1, "9"))
    cluster.told.note("ADDED", a_thing(1, "7"))
    cluster.while_settling = lambda: cluster.things["u1"]["metadata"].update(uid="u2")
    assert cluster.compared(monkeypatch) == []
    assert len(cluster.reads) == 1


def test_where_very_much_changed_untold_the_watches_begin_anew(monkeypatch):
    numbers = range(MOST_READ + 1)
    cluster = Cluster(*(a_thing(number, "9") for number in numbers))
    for number in numbers:
        cluster.told.note("ADDED", a_thing(number, "7"))
    assert len(cluster.compared(monkeypatch)) == MOST_READ
    assert cluster.begun == 1


def test_versions_go_with_their_objects():
    told = Told(lambda event, body: None)
    for number in range(4):
        told.note("ADDED", a_thing(number, "1", namespace="bank" if number == 3 else "shop"))
    told.note("DELETED", a_thing(0, "1"))
    told.keep("shop", {"u1"}, told.versions("shop"))
    assert told.versions("") == {"u1": "1", "u3": "1"}
    told.keep("", {}, told.versions(""))
    assert told._versions == {}
