"""A Prometheus that is slow for minutes and hours, for tests on virtual time."""

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

from controller.prometheus.access import PrometheusSettings
from controller.prometheus.http import PrometheusHttp, Request
from controller.prometheus.metrics import PrometheusMetrics
from scaling.observation import Unknown

NEVER_S = 1e6


class CannedHttp(PrometheusHttp):
    """The real client, but that its answers come from a function after some seconds, and not through a socket."""

    def __init__(self, answer: Callable[[str], tuple[float, bytes | Unknown]], **wishes: Any) -> None:
        """`answer`: after how many seconds what comes for a query."""
        super().__init__(PrometheusSettings(url="http://127.0.0.1:9", **wishes))
        self._answer = answer
        self.sent: list[Request] = []
        self._times: list[tuple[float, float, str]] = []

    @property
    def queries(self) -> list[str]:
        """What was sent."""
        return [request.form["query"] for request in self.sent]

    async def _send_once(self, request: Request, method: str, ends_s: float) -> bytes | Unknown:
        self.sent.append(request)
        delay_s, body = self._answer(request.form["query"])
        now_s = asyncio.get_running_loop().time
        began_s = now_s()
        try:
            await asyncio.sleep(delay_s)
        finally:
            self._times.append((began_s, now_s(), request.owner))
        return body

    def most_in_flight(self, owner: str, from_s: float, until_s: float) -> int:
        """How many requests of an owner were under way together, at whole seconds of a time on the loop's clock."""
        times = [(began_s, ended_s) for began_s, ended_s, one in self._times if one == owner]
        seconds = range(int(from_s), int(until_s))
        return max(sum(began_s <= second < ended_s for began_s, ended_s in times) for second in seconds)


def metrics_over(http: PrometheusHttp) -> PrometheusMetrics:
    """What reads through a client, on the running loop's clock."""
    return PrometheusMetrics(http, asyncio.get_running_loop().time)


APPS = re.compile(r'\bapp=~?"([^"]*)"')


def apps_of(query: str) -> list[str]:
    """The apps that a query names."""
    found = APPS.search(query)
    return found[1].split("|") if found else []


def numbers_for(query: str, number: str = "5") -> bytes:
    """A good answer to a query of apps: a row for each, of its number or its age."""
    is_shared, is_age = "by (app)" in query, "label_replace(time()" in query
    rows = [
        {
            "metric": ({"app": app} if is_shared else {}) | ({"selector": "0"} if is_age else {}),
            "value": [1.5, number],
        }
        for app in apps_of(query) or [""]
    ]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": rows}}).encode()
