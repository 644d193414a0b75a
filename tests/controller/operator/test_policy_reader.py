"""Policies in ConfigMaps: read again and again, put in charge, and refused without harm. On virtual time."""

import asyncio
import contextlib

import pytest

from controller.cluster.api_answer import ApiError
from controller.operator.policies import Policies
from controller.operator.policy_book import PolicyBook
from controller.operator.policy_reader import EVERY_S, PolicyReader
from tests.controller.operator.test_policies import a_body
from tests.controller.test_policy_config_map import a_config_map, a_policy
from tests.virtual_time import run_virtually

PLACE = "/api/v1/namespaces/shop/configmaps/trained"
MISSING = ApiError("GET", PLACE, 404, "NotFound", "not found")


class Shop:
    """An API server with ConfigMaps, a reader, and the policies that it reads for."""

    def __init__(self):
        self.answers: dict[str, object] = {}
        self.asked: list[str] = []
        self.policies, self.book = Policies(lambda: 0.0), PolicyBook()
        self.reader = PolicyReader(self, self.policies, self.book)
        self.policies.on_change = self.reader.want

    async def get(self, path):
        self.asked.append(path)
        answer = self.answers.get(path, MISSING)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def put(self, *policies):
        self.answers[PLACE] = a_config_map(*policies)

    def name(self, uid="u1", generation=1, **ref):
        """A ScalingPolicy that names the ConfigMap."""
        body = a_body(uid, generation, policyRef={"configMap": {"name": "trained", **ref}})
        body["metadata"]["name"] = uid
        self.policies.note(None, body)

    def asked_for(self, uid="u1"):
        record = self.policies.get(uid)
        assert record is not None
        return self.book.find(record)

    @contextlib.asynccontextmanager
    async def reading(self):
        task = asyncio.create_task(self.reader.run())
        try:
            await asyncio.sleep(1)
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def test_nothing_answers_before_the_config_map_was_read():
    async def story():
        shop = Shop()
        shop.put()
        shop.name()
        assert shop.asked_for() is None
        async with shop.reading():
            assert shop.asked_for().policy.sha256 == a_policy()[0].manifest.sha256
            assert shop.asked_for().problem == ""

    run_virtually(story())


def test_a_newer_policy_takes_over_within_thirty_seconds_and_an_edit_at_once():
    async def story():
        shop = Shop()
        shop.put(a_policy(seed=1))
        shop.name()
        async with shop.reading():
            first = shop.asked_for().policy
            shop.put(a_policy(seed=2))
            await asyncio.sleep(EVERY_S)
            second = shop.asked_for().policy
            assert second is not first
            shop.put(a_policy(seed=1))
            shop.name(generation=2, sha256=first.sha256)
            await asyncio.sleep(1)
            assert shop.asked_for().policy.sha256 == first.sha256

    run_virtually(story())


BAD = {
    "gone": MISSING,
    "forbidden": ApiError("GET", PLACE, 403, "Forbidden", "may not"),
    "empty": {},
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_one_leaves_the_old_one_in_charge_and_says_why(what):
    async def story():
        shop = Shop()
        shop.put()
        shop.name()
        async with shop.reading():
            before = shop.asked_for().policy
            shop.answers[PLACE] = BAD[what]
            await asyncio.sleep(EVERY_S)
            asked = shop.asked_for()
            assert asked.policy is before
            assert asked.problem.startswith("ConfigMap shop/trained: ")
            assert asked.problem.endswith("; web stays in charge")
            shop.put()
            await asyncio.sleep(EVERY_S)
            assert shop.asked_for().problem == ""

    run_virtually(story())


def test_with_nothing_usable_from_the_start_the_shipped_network_answers():
    async def story():
        shop = Shop()
        shop.name()
        async with shop.reading():
            assert shop.asked_for().policy.name == "default"
            assert "404 NotFound" in shop.asked_for().problem

    run_virtually(story())


def test_a_wrong_pin_on_a_policy_that_named_a_rule_leaves_the_rule_in_charge():
    async def story():
        shop = Shop()
        shop.put()
        shop.policies.note(None, a_body(policyRef={"name": "snvt"}))
        assert shop.asked_for().policy.name == "snvt"
        async with shop.reading():
            shop.name(generation=2, sha256="0" * 64)
            await asyncio.sleep(1)
            assert shop.asked_for().policy.name == "snvt"
            assert "policyRef wants 00000000…" in shop.asked_for().problem

    run_virtually(story())


def test_a_request_that_fails_for_now_changes_nothing():
    async def story():
        shop = Shop()
        shop.put()
        shop.name()
        async with shop.reading():
            shop.answers[PLACE] = ApiError("GET", PLACE, None, "Timeout", "no answer within 15 s")
            await asyncio.sleep(EVERY_S)
            assert shop.asked_for().problem == ""

    run_virtually(story())


def test_a_config_map_is_read_once_for_all_who_name_it_and_they_share_one_policy():
    async def story():
        shop = Shop()
        shop.put()
        for number in range(50):
            shop.name(f"u{number}")
        async with shop.reading():
            assert shop.asked == [PLACE]
            assert len({id(shop.asked_for(f"u{number}").policy) for number in range(50)}) == 1

    run_virtually(story())


def test_edits_that_never_stop_do_not_keep_the_others_from_being_read():
    async def story():
        shop = Shop()
        shop.put(a_policy(seed=1))
        shop.name("quiet")
        shop.name("busy")
        async with shop.reading():
            shop.put(a_policy(seed=2))
            for generation in range(2, 2 + int(EVERY_S)):
                shop.name("busy", generation)
                await asyncio.sleep(1)
            assert shop.asked_for("quiet").policy.sha256 == a_policy(seed=2)[0].manifest.sha256

    run_virtually(story())
