"""The recommendation API under load, beside an endpoint of FastAPI that does nothing.

Both run in a process of their own with one uvicorn worker and are asked by one client on the loopback, in turn: so
many requests at a time, for so many seconds, three times each; the median counts.

    python -m benchmarks.api [--at-once 16] [--seconds 5]
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import aiohttp
import numpy as np

from tests.cluster.daemon import free_ports

BARE = """
import sys
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

class Asked(BaseModel):
    normalized_servers: float
    current_load: float

app = FastAPI()

@app.post("/predict")
def predict(asked: Asked) -> dict[str, int]:
    return {"action_code": 0}

@app.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}

uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
"""
ROUNDS = 3
STARTS_WITHIN_S = 60.0

PREDICT = {"normalized_servers": 0.5, "current_load": 0.92}
SPEC = {"maxReplicas": 40, "demand": {"targetPerReplica": "50"}}
DECISION = {"spec": SPEC, "observation": {"demand": 700.0, "currentReplicas": 10}}


@dataclass(frozen=True)
class Measured:
    """One round."""

    requests_per_s: float
    p50_ms: float
    p99_ms: float


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--at-once", type=int, default=16, help="requests under way")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each round")
    wishes = parser.parse_args()
    cases: list[tuple[str, bool, str, Any]] = [
        ("bare FastAPI endpoint", True, "/predict", PREDICT),
        ("POST /predict", False, "/predict", PREDICT),
        ("POST /v1/decision", False, "/v1/decision", DECISION),
        ("POST /v1/decisions, 50 in one", False, "/v1/decisions", {"requests": [DECISION] * 50}),
    ]
    with _served(bare=True) as bare, _served(bare=False) as ours:
        found = {
            name: [asyncio.run(_round(bare if is_bare else ours, path, body, wishes)) for _ in range(ROUNDS)]
            for name, is_bare, path, body in cases
        }
    base = statistics.median(each.requests_per_s for each in found[cases[0][0]])
    print("| endpoint | requests/s | ratio | p50 ms | p99 ms |\n|---|--:|--:|--:|--:|")
    for name, rounds in found.items():
        rate = statistics.median(each.requests_per_s for each in rounds)
        p50 = statistics.median(each.p50_ms for each in rounds)
        p99 = statistics.median(each.p99_ms for each in rounds)
        print(f"| {name} | {rate:,.0f} | {rate / base:.2f} | {p50:.1f} | {p99:.1f} |")


@contextmanager
def _served(bare: bool) -> Iterator[str]:
    (port,) = free_ports(1)
    command = ["-c", BARE, str(port)] if bare else ["-m", "forescale", "serve", "--port", str(port), "--quiet"]
    with subprocess.Popen([sys.executable, *command]) as process:
        try:
            asyncio.run(_ready(f"http://127.0.0.1:{port}/healthz"))
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


async def _ready(url: str) -> None:
    async with aiohttp.ClientSession() as session, asyncio.timeout(STARTS_WITHIN_S):
        while True:
            with suppress(aiohttp.ClientError):
                async with session.get(url):
                    return
            await asyncio.sleep(0.1)


async def _round(url: str, path: str, body: Any, wishes: argparse.Namespace) -> Measured:
    content, took_s = json.dumps(body).encode(), []
    headers = {"Content-Type": "application/json"}
    until_s = time.monotonic() + wishes.seconds

    async def ask(session: aiohttp.ClientSession) -> None:
        while (began_s := time.monotonic()) < until_s:
            async with session.post(url + path, data=content, headers=headers) as response:
                await response.read()
                if response.status != 200:
                    raise RuntimeError(f"{path}: HTTP {response.status}")
            took_s.append(time.monotonic() - began_s)

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(ask(session) for _ in range(wishes.at_once)))
    p50_s, p99_s = np.percentile(took_s, (50, 99))
    return Measured(len(took_s) / wishes.seconds, 1000 * float(p50_s), 1000 * float(p99_s))


if __name__ == "__main__":
    main()
