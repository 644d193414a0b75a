"""The recommendation API: the operator's decisions over HTTP, and clear refusals."""

import asyncio
import json

import httpx
import pytest

from benchmarks.little_cluster import READINGS, forescale, judged, rule
from controller.api.admission import Admission, Limits
from controller.api.app import MOST_SIMULATIONS, create_app
from controller.api.models import MOST_DECISIONS, MOST_HISTORY, SimulationRequest
from controller.crd.resource import parse_policy
from controller.policy_choice import policy_named
from forescale.simulation import simulate
from scaling.decide import PolicyState, decide, remember
from scaling.observation import Observation, Value

SPEC = {"maxReplicas": 40, "demand": {"targetPerReplica": "50"}}
TOKEN = "a-token-of-the-tests"


def no_simulation(request):
    raise AssertionError("nobody asked for one")


def asked(method, path, app=None, **options):
    """The answer of an application to one request."""

    async def ask():
        transport = httpx.ASGITransport(app or create_app(no_simulation))
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            return await client.request(method, path, **options)

    return asyncio.run(ask())


def a_request(demand=700.0, **observation):
    return {"spec": SPEC, "observation": {"demand": demand, "currentReplicas": 10, **observation}}


def refusal(answer):
    assert set(answer.json()) == {"detail"}
    assert "\n" not in answer.json()["detail"]
    return answer.status_code, answer.json()["detail"]


def test_a_decision_is_the_one_that_the_operator_takes():
    history = [500.0 + 3 * step for step in range(300)]
    body = {"apiVersion": "forescale.dev/v1alpha1", "kind": "ScalingPolicy", "metadata": {"name": "web"}}
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    spec = parse_policy({**body, "spec": {"scaleTargetRef": target, **SPEC}}).spec
    state = PolicyState()
    remember(state, spec, history, until_s=-15.0, replicas=22)
    expected = decide(Observation(Value(1400.0), 22, 20), spec, state, policy_named("auto"), 0.0)

    answer = asked(
        "POST", "/v1/decision", json=a_request(1400.0, currentReplicas=22, readyReplicas=20, history=history)
    )
    told = answer.json()
    assert expected.band is not None
    assert told["finalReplicas"] == expected.final_replicas
    assert told["band"] == {"lo": expected.band.lo, "hi": expected.band.hi}
    assert told["reasons"] == [reason.value for reason in expected.reasons]
    assert told["referenceReplicas"] == expected.reference_replicas
    assert told["envelope"]["floor"] <= told["finalReplicas"] <= told["envelope"]["ceiling"]
    assert told["policy"]["sha256"] == policy_named("auto").sha256


def test_a_batch_answers_in_the_order_of_its_requests():
    rule_spec = {**SPEC, "policyRef": {"name": "hpa"}}
    requests = [a_request(100.0), {**a_request(900.0), "spec": rule_spec}, a_request(None)]
    decisions = asked("POST", "/v1/decisions", json={"requests": requests}).json()["decisions"]
    assert [decision["policy"]["name"] for decision in decisions] == ["default", "hpa", "default"]
    assert decisions[1]["finalReplicas"] == 18
    assert (decisions[2]["action"], decisions[2]["reasons"][0]) == ("Hold", "MetricEmpty")
    alone = asked("POST", "/v1/decision", json=requests[0]).json()
    assert decisions[0] == alone


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"spec": {**SPEC, "maxReplica": 3}}, "requests[0].spec.maxReplica: unknown field; did you mean maxReplicas?"),
        ({"spec": {**SPEC, "maxReplicas": 0}}, "requests[0].spec.maxReplicas"),
        ({"observation": {"demand": -1, "currentReplicas": 3}}, "observation.demand: '-1' input should be greater"),
        ({"observation": {"demand": "7", "currentReplicas": 3}}, "observation.demand: '7' input should be a valid num"),
        ({"observation": {"demand": 7, "currentReplicas": 2.5}}, "observation.currentReplicas: '2.5'"),
        ({"observation": {"demand": 7, "currentReplicas": 3, "when": 1}}, "observation.when: '1' extra inputs"),
        ({"observation": {"demand": 7, "currentReplicas": 3, "history": [1] * (MOST_HISTORY + 1)}}, "at most 5760"),
    ],
)
def test_what_cannot_be_used_is_named_in_one_line(change, words):
    status, detail = refusal(asked("POST", "/v1/decision", json={**a_request(), **change}))
    assert status == 422
    assert words in detail


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none_are_refused(number):
    body = f'{{"normalized_servers": 0.5, "current_load": {number}}}'
    status, detail = refusal(asked("POST", "/predict", content=body, headers={"content-type": "application/json"}))
    assert (status, "current_load" in detail) == (422, True)


@pytest.mark.parametrize("body", ["", "{", "[" * 50_000, "null", '"text"', "1" * 6000])
def test_a_body_that_is_no_request_is_refused(body):
    answer = asked("POST", "/predict", content=body, headers={"content-type": "application/json"})
    assert refusal(answer)[0] in (400, 422)


def test_a_batch_that_is_too_long_is_refused_with_the_limit():
    status, detail = refusal(asked("POST", "/v1/decisions", json={"requests": [a_request()] * (MOST_DECISIONS + 1)}))
    assert (status, f"at most {MOST_DECISIONS} items" in detail) == (422, True)


@pytest.mark.parametrize(
    ("servers", "load", "answer"),
    [
        (0.5, 0.95, {"action_code": 1, "action_name": "ADD_SERVER"}),
        (1.0, 0.1, {"action_code": 2, "action_name": "REMOVE_SERVER"}),
        (1.0, 2.5, {"action_code": 0, "action_name": "DO_NOTHING"}),
        (0.0, 0.0, {"action_code": 1, "action_name": "ADD_SERVER"}),
        (0.1, 0.0, {"action_code": 0, "action_name": "DO_NOTHING"}),
    ],
)
def test_predict_says_what_to_do_next_on_ten_servers(servers, load, answer):
    assert asked("POST", "/predict", json={"normalized_servers": servers, "current_load": load}).json() == answer


@pytest.mark.parametrize("reading", READINGS, ids=str)
def test_predict_beats_the_rule_and_what_is_published_of_a_trained_policy(reading):
    reward, overload = judged(forescale, reading, episodes=100)
    by_rule, overload_by_rule = judged(rule, reading, episodes=100)
    assert reward > max(by_rule, -2241)
    assert overload < min(overload_by_rule, 0.058)


def test_without_the_token_nothing_is_computed():
    app = create_app(no_simulation, TOKEN)
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": TOKEN}):
        answer = asked("POST", "/predict", app, json={"normalized_servers": 1, "current_load": 1}, headers=headers)
        assert refusal(answer)[0] == 401
    good = {"authorization": f"Bearer {TOKEN}"}
    assert asked("GET", "/v1/policies", app, headers=good).status_code == 200
    assert [asked("GET", path, app).status_code for path in ("/", "/healthz", "/docs")] == [200, 200, 200]


async def in_pieces(piece, count):
    for _ in range(count):
        yield piece


@pytest.mark.parametrize("told", [True, False], ids=["announced", "chunked"])
def test_a_body_that_is_too_large_is_not_read_to_its_end(told):
    sent = 100 * 1024 * 1024
    body = bytes(sent) if told else in_pieces(bytes(64 * 1024), sent // (64 * 1024))
    status, detail = refusal(asked("POST", "/predict", content=body))
    assert (status, "1048576" in detail) == (413, True)


def test_a_body_that_does_not_come_is_given_up():
    async def never():
        await asyncio.sleep(3600)

    async def run():
        sent = []

        async def send(message):
            sent.append(message)

        admission = Admission(create_app(no_simulation), limits=Limits(read_s=0.01))
        scope = {"type": "http", "method": "POST", "path": "/predict", "headers": [(b"content-length", b"5")]}
        await admission(scope, never, send)
        return sent

    start, body = asyncio.run(run())
    assert start["status"] == 408
    assert "0.01 s" in json.loads(body["body"])["detail"]


def test_only_so_many_simulations_wait():
    async def run():
        loop, gate = asyncio.get_running_loop(), asyncio.Event()

        def wait(request):
            asyncio.run_coroutine_threadsafe(gate.wait(), loop).result()
            return simulate(SimulationRequest(load=[1.0] * 20))

        transport = httpx.ASGITransport(create_app(wait))
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            wished = [client.post("/v1/simulations", json={}) for _ in range(MOST_SIMULATIONS + 1)]
            done, waiting = await asyncio.wait(map(asyncio.create_task, wished), return_when=asyncio.FIRST_COMPLETED)
            gate.set()
            return [task.result() for task in done], [answer.status_code for answer in await asyncio.gather(*waiting)]

    (refused,), answers = asyncio.run(asyncio.wait_for(run(), 60))
    status, detail = refusal(refused)
    assert (status, f"{MOST_SIMULATIONS} simulations" in detail) == (503, True)
    assert answers == [200] * MOST_SIMULATIONS


def test_metrics_count_requests_by_route_and_code():
    app = create_app(no_simulation)
    asked("POST", "/predict", app, json={"normalized_servers": 0.5, "current_load": 0.5})
    asked("GET", "/nowhere", app)
    text = asked("GET", "/metrics", app).text
    assert 'forescale_api_http_requests_total{code="200",method="POST",route="/predict"} 1.0' in text
    assert 'forescale_api_http_requests_total{code="404",method="GET",route="other"} 1.0' in text


def test_pages_and_answers_allow_nothing_from_outside():
    for path in ("/", "/docs", "/healthz"):
        answer = asked("GET", path)
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "https://" not in answer.text.replace("http://www.w3.org", "")
