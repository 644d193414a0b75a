"""Queries that are slow beside others that are not: who waits for whom, for hours, on a clock that jumps."""

import asyncio
from collections import Counter

import pytest

from controller.prometheus.answer import Grid
from controller.prometheus.asker import COSTS_NOTHING, Question, owner_of
from controller.prometheus.http import QueryRefused, Request
from controller.prometheus.standing import LONGEST_PAUSE_S, PROOFS
from scaling.decision import Reason
from scaling.observation import Unknown, Value
from tests.controller.prometheus.virtual import NEVER_S, CannedHttp, apps_of, metrics_over, numbers_for
from tests.virtual_time import run_virtually

INTERVAL_S, DEADLINE_S = 15.0, 4.0
FINE = Value(5.0)


def query(app):
    return f'sum(rate(x{{app="{app}"}}[1m]))'


class Scene:
    """Policies of one shape, and a Prometheus that is slow with some of them."""

    def __init__(self, apps, slow=(), delay_s=NEVER_S, namespace_of=lambda app: "shop"):
        self.apps, self.slow, self.delay_s, self.namespace_of = list(apps), set(slow), delay_s, namespace_of
        self.refused = set()
        self.http = CannedHttp(self.answer)
        self.lags_s, self.counts = [], []

    def answer(self, text):
        named = set(apps_of(text))
        if named & self.refused:
            return 0.01, QueryRefused(Reason.METRIC_ERROR, "too many samples")
        return (self.delay_s if named & self.slow else 0.01), numbers_for(text)

    async def tick(self, metrics):
        """Read all; what each of them was, by app."""
        loop = asyncio.get_running_loop()
        began_s, before = loop.time(), len(self.http.sent)
        lags_s = {}

        async def read(app):
            found = await metrics.read(query(app), 120.0, began_s, self.namespace_of(app))
            lags_s[app] = loop.time() - began_s
            return found

        found = await asyncio.gather(*(read(app) for app in self.apps))
        self.lags_s.append(lags_s)
        asked = [text for text in self.http.queries[before:] if text != COSTS_NOTHING]
        self.counts.append(sum("label_replace(time()" not in text for text in asked))
        await asyncio.sleep(began_s + INTERVAL_S - loop.time())
        return dict(zip(self.apps, found, strict=True))

    def run(self, ticks, between=lambda tick: None):
        """So many ticks: what was read in each."""

        async def use():
            metrics, found = metrics_over(self.http), []
            for tick in range(ticks):
                between(tick)
                found.append(await self.tick(metrics))
            return found

        return run_virtually(use())


def lost_by_others(found, slow):
    return sum(reading != FINE for tick in found for app, reading in tick.items() if app not in slow)


MANY = [f"n{number}" for number in range(200)]


@pytest.mark.parametrize("count", [2, 9, 64, 65, 200, 500])
def test_one_that_hangs_costs_no_other_a_reading_from_the_first_tick_on(count):
    scene = Scene([f"n{number}" for number in range(count)], slow={"n1"})
    found = scene.run(3)
    assert lost_by_others(found, {"n1"}) == 0
    assert all(isinstance(tick["n1"], Unknown) for tick in found)
    others = [lag_s for app, lag_s in scene.lags_s[0].items() if app != "n1"]
    assert max(others) < DEADLINE_S
    assert max(lag_s for lags_s in scene.lags_s[1:] for app, lag_s in lags_s.items() if app != "n1") < 0.1


def test_one_that_hangs_for_hours_stays_apart_and_is_asked_less_and_less():
    hours = 3
    scene = Scene(MANY[:20], slow={"n7"})
    found = scene.run(hours * 240)
    assert lost_by_others(found, {"n7"}) == 0
    alone = sum(text == query("n7") for text in scene.http.queries)
    assert alone <= 10 + hours * 3600 / LONGEST_PAUSE_S
    assert max(scene.counts[2:]) <= 3
    assert "it is asked again after 180 s" in found[-1]["n7"].message


def test_one_that_answers_again_is_read_again_at_once_and_joins_the_others_when_it_has_proved():
    scene = Scene(MANY, slow={"n7"})

    def recover(tick):
        if tick == 40:
            scene.slow = set()

    found = scene.run(100, recover)
    first = next(tick for tick, readings in enumerate(found) if readings["n7"] == FINE)
    assert 40 <= first <= 40 + LONGEST_PAUSE_S / INTERVAL_S
    assert all(readings["n7"] == FINE for readings in found[first:])
    alone = [tick for tick in range(first, 100) if scene.counts[tick] > 1]
    assert PROOFS - 2 <= len(alone) <= PROOFS + 2
    assert scene.counts[-1] <= 1


def test_one_that_is_slow_now_and_then_stays_apart_for_longer_with_every_relapse():
    scene = Scene(MANY[:20])

    def now_and_then(tick):
        scene.slow = {"n7"} if tick % 60 == 20 else set()

    found = scene.run(600, now_and_then)
    assert lost_by_others(found, {"n7"}) == 0
    slow_for_others = [tick for tick, lags_s in enumerate(scene.lags_s) if lags_s["n8"] > 0.5]
    assert len(slow_for_others) <= 3


def test_one_that_is_late_but_in_time_is_found_and_the_others_do_not_wait_for_it():
    scene = Scene(MANY, slow={"n7"}, delay_s=2.5)
    found = scene.run(12)
    assert lost_by_others(found, {"n7"}) == 0
    assert lost_by_others(found[1:], ()) == 0
    assert max(lag_s for lags_s in scene.lags_s[6:] for app, lag_s in lags_s.items() if app != "n7") < 0.1
    assert max(scene.counts[6:]) <= 3


def test_several_that_hang_in_every_part_cost_the_others_at_most_a_few_ticks():
    slow = {f"n{number}" for number in range(0, 200, 10)}
    scene = Scene(MANY, slow=slow)
    found = scene.run(10)
    assert lost_by_others(found[4:], slow) == 0
    assert max(lag_s for app, lag_s in scene.lags_s[-1].items() if app not in slow) < 0.5


def test_a_server_that_is_slow_with_all_is_not_asked_more_and_more():
    """It answers vector(1), as one does whose storage hangs."""
    scene = Scene(MANY, slow=MANY)
    scene.run(40)
    assert max(scene.counts) <= 40


def test_a_server_that_comes_back_is_read_at_the_next_tick_and_by_one_query():
    scene = Scene(MANY, slow=MANY)

    def recover(tick):
        if tick == 40:
            scene.slow = set()

    found = scene.run(44, recover)
    assert lost_by_others(found[40:], ()) == 0
    assert scene.counts[-1] <= 2


def test_what_takes_a_second_and_a_half_for_all_is_waited_for_and_not_asked_twice_for_ever():
    scene = Scene(MANY, slow=MANY, delay_s=1.5)
    found = scene.run(10)
    assert lost_by_others(found, ()) == 0
    assert sum(scene.counts[4:]) <= 6 * 10


def test_too_many_names_for_a_server_cost_no_reading_and_are_remembered():
    """It takes long with more than 100 at once, and not with fewer."""
    scene = Scene(MANY)
    scene.http._answer = lambda text: (NEVER_S if len(apps_of(text)) > 100 else 0.01, numbers_for(text))
    found = scene.run(5)
    assert lost_by_others(found, ()) == 0
    assert max(scene.counts[2:]) <= 8 * 2
    assert max(scene.lags_s[-1].values()) < 0.1


def test_new_policies_that_hang_do_not_slow_down_those_that_are_known():
    scene = Scene(MANY)

    def add(tick):
        if tick >= 2:
            scene.apps.append(f"evil-{tick}")
            scene.slow.add(f"evil-{tick}")

    found = scene.run(10, add)
    assert lost_by_others(found, scene.slow) == 0
    assert max(lag_s for lags_s in scene.lags_s[1:] for app, lag_s in lags_s.items() if app in MANY) < 0.1


def test_one_that_is_refused_is_found_at_once_and_asked_less_often():
    scene = Scene(MANY[:50])
    scene.refused = {"n7"}
    found = scene.run(240)
    assert lost_by_others(found, {"n7"}) == 0
    assert sum(text == query("n7") for text in scene.http.queries) <= 10 + 3600 / LONGEST_PAUSE_S
    assert found[-1]["n7"].message == "too many samples; as it keeps failing, it is asked again after 180 s"


# Namespaces


class Attack:
    """Queries that hang, of one namespace, and policies of others; none shares a query."""

    def __init__(self, hanging, namespaces=("evil",)):
        self.hanging, self.namespaces = hanging, namespaces
        self.http = CannedHttp(lambda text: (NEVER_S if "slow" in text else 0.2, numbers_for(text)))
        self.readings: Counter[bool] = Counter()
        self.lags_s: list[float] = []

    async def read(self, metrics, text, namespace, interval_s, until_s):
        loop = asyncio.get_running_loop()
        while loop.time() < until_s:
            began_s = loop.time()
            found = await metrics.read(text, 120.0, began_s, namespace)
            if namespace not in self.namespaces:
                self.readings[found == FINE] += 1
                self.lags_s.append(loop.time() - began_s)
            await asyncio.sleep(began_s + interval_s - loop.time())

    def run(self, seconds):
        async def use():
            metrics = metrics_over(self.http)
            until_s = asyncio.get_running_loop().time() + seconds
            hanging = [
                self.read(metrics, f"max(slow_{number})", self.namespaces[number % len(self.namespaces)], 5.0, until_s)
                for number in range(self.hanging)
            ]
            good = [
                self.read(metrics, f"max(load_{number})", f"shop-{number % 4}", 15.0, until_s) for number in range(20)
            ]
            await asyncio.gather(*hanging, *good)

        run_virtually(use())


@pytest.mark.parametrize(("hanging", "namespaces"), [(100, ("evil",)), (1200, ("evil",)), (400, ("e", "f", "g", "h"))])
def test_queries_of_one_namespace_that_hang_cost_others_no_reading(hanging, namespaces):
    attack = Attack(hanging, namespaces)
    attack.run(60.0)
    assert attack.readings == {True: 80}
    assert max(attack.lags_s) < 2.0


def test_a_namespace_whose_queries_hang_ends_with_few_of_them_under_way():
    attack = Attack(200)
    attack.run(240.0)
    assert attack.http.most_in_flight("evil", 1000, 1020) >= 15
    assert attack.http.most_in_flight("evil", 1120, 1240) <= 30 // 8


def test_waiting_for_a_slot_counts_towards_the_deadline_and_is_not_called_slow():
    http = CannedHttp(lambda _: (NEVER_S, b""), most_in_flight=1)

    async def use():
        request = Request(endpoint="query", form={"query": "x"}, deadline_s=4.0, owner="shop")
        found = await asyncio.gather(*(http.ask(request) for _ in range(20)))
        assert asyncio.get_running_loop().time() == 1004.0
        return [answer.message for answer in found if isinstance(answer, Unknown)]

    first, *others = run_virtually(use())
    assert first == "no answer from Prometheus within 4 s"
    assert set(others) == {'not sent to Prometheus within 4 s: other queries of namespace "shop" take its share'}
    assert len(http.sent) == 1


def test_the_same_query_of_several_namespaces_is_asked_once():
    http = CannedHttp(lambda text: (0.01, numbers_for(text)))

    async def use():
        metrics = metrics_over(http)
        return await asyncio.gather(*(metrics.read("max(x) + 1", 120.0, 1000.0, f"team-{k}") for k in range(9)))

    assert run_virtually(use()) == [FINE] * 9
    assert len(http.sent) == 2


def test_a_query_for_several_namespaces_counts_for_the_one_with_most_questions():
    def of(*namespaces):
        return [Question(query(f"a{place}"), namespace=namespace) for place, namespace in enumerate(namespaces)]

    assert owner_of(of("a")) == "a"
    assert owner_of(of("a", "b", "b")) == "b"
    assert owner_of(of("c", "b")) == "b"


# Histories


def test_a_namespace_whose_history_hangs_rests_and_the_others_get_theirs():
    http = CannedHttp(lambda text: (NEVER_S if "slow" in text else 0.1, MATRIX))
    grid = Grid(0.0, 60.0, 2)

    async def use():
        metrics, loop = metrics_over(http), asyncio.get_running_loop()
        began_s = loop.time()
        hanging = [await metrics.read_range(f"max(slow_{number})", grid, "evil") for number in range(20)]
        waited_s = loop.time() - began_s
        good = await metrics.read_range("max(load)", grid, "shop")
        return waited_s, [unknown.message for unknown in hanging if isinstance(unknown, Unknown)], good

    waited_s, messages, good = run_virtually(use())
    assert waited_s == 30.0
    assert messages == ["no answer from Prometheus within 30 s", *[RESTING] * 19]
    assert good == [1.0, 2.0]


RESTING = "no answer from Prometheus within 30 s; as it keeps failing, it is asked again after 60 s"
MATRIX = b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[0,"1"],[60,"2"]]}]}}'


def test_histories_that_hang_at_once_leave_slots_to_other_namespaces():
    http = CannedHttp(lambda text: (NEVER_S if "slow" in text else 0.1, MATRIX))
    grid = Grid(0.0, 60.0, 2)

    async def use():
        metrics, loop = metrics_over(http), asyncio.get_running_loop()
        hanging = [
            asyncio.ensure_future(metrics.read_range(f"max(slow_{number})", grid, "evil")) for number in range(50)
        ]
        await asyncio.sleep(1.0)
        began_s = loop.time()
        good = await asyncio.gather(*(metrics.read_range(f"max(load_{k})", grid, "shop") for k in range(10)))
        took_s = loop.time() - began_s
        await asyncio.gather(*hanging)
        return good, took_s

    good, took_s = run_virtually(use())
    assert good == [[1.0, 2.0]] * 10
    assert took_s < 1.0
