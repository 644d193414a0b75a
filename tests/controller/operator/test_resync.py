import asyncio
import contextlib

import pytest

from controller.cluster.api_answer import ApiError
from controller.operator.resync import Kept, Resync


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
        return answer


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

    asyncio.run(asyncio.wait_for(run(), 5.0))
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
            return dict.fromkeys(next(asked), "one/x")

    async def run():
        told = {"on_untold": lambda: begun.append(True), "are_all": are_all}
        kept = Kept("g", "v1", "things", lambda: known, lambda *_: None, **told)
        with contextlib.suppress(TimeoutError, StopAsyncIteration, RuntimeError):
            await asyncio.wait_for(Resync(Api(), [kept], ()).run(), 0.2)  # type: ignore[arg-type]

    asyncio.run(run())
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
            return {"a": "one/x"} if len(begun) < 2 else {}

    async def run():
        kinds = [a_kind("policies", {"a"}), a_kind("rivals", set())]
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(Resync(Api(), kinds, ()).run(), 0.2)  # type: ignore[arg-type]

    asyncio.run(run())
    assert begun == ["rivals"] * 2


def test_a_kind_that_is_gone_takes_all_with_it():
    assert kept_after(Listings(one=404, two=404), {"a"}) == [("one", {}, {"a"}), ("two", {}, {"a"})] * 2
