"""The FastAPI application: routes, error answers, metrics, and the page.

Every error is `{"detail": "one line that names the value and the limit"}`. Nothing is loaded from outside.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest

from controller.api.admission import Admission, Limits
from controller.api.deciding import decided, policies, predicted
from controller.api.models import (
    BatchOut,
    BatchRequest,
    DecisionOut,
    DecisionRequest,
    Health,
    PoliciesOut,
    PredictOut,
    PredictRequest,
    Problem,
    SimulationOut,
    SimulationRequest,
)
from scaling.errors import InputError

Simulate = Callable[[SimulationRequest], SimulationOut]

MOST_SIMULATIONS = 4
"""That run or wait at a time; each takes seconds of one core (chosen)."""

REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The body is not JSON."},
    401: {"model": Problem, "description": "The bearer token is missing or wrong."},
    408: {"model": Problem, "description": "The body did not come in time."},
    413: {"model": Problem, "description": "The body is larger than the limit."},
    422: {"model": Problem, "description": "A value cannot be used; the line names it and the limit."},
}
BUSY: dict[int | str, dict[str, Any]] = {503: {"model": Problem, "description": "Too many simulations run already."}}

POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'"
SAFE_HEADERS = {
    "Content-Security-Policy": f"{POLICY}; base-uri 'none'; form-action 'none'; frame-ancestors *",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
"""Sent with every answer. Framing is allowed, as Hugging Face shows a Space within a frame of its own."""


def create_app(simulate: Simulate, token: str | None = None, limits: Limits | None = None) -> FastAPI:
    """Return the application.

    simulate: runs a load through forescale and an HPA; it takes seconds, and is called in a thread.
    token: the bearer token that requests must carry. Default: none is needed.
    """
    about = "What forescale would decide, and why. It reads nothing from a cluster and writes nothing to one."
    app = FastAPI(
        title="forescale",
        summary=about,
        version=version("forescale"),
        docs_url=None,
        redoc_url=None,
        responses=REFUSALS,
    )
    _add_decisions(app)
    _add_simulation(app, simulate)
    _add_pages(app)
    _add_problems(app)
    _add_metrics(app)
    app.add_middleware(Admission, token=token, limits=limits)
    return app


def _add_decisions(app: FastAPI) -> None:
    @app.post("/v1/decisions", summary="Decide for several workloads")
    def decide_batch(request: BatchRequest) -> BatchOut:
        """Decide for up to 100 workloads; each decision is the one that the operator would take."""
        return BatchOut(decisions=decided(request.requests))

    @app.post("/v1/decision", summary="Decide for one workload")
    def decide_one(request: DecisionRequest) -> DecisionOut:
        """Decide for one workload."""
        return decided([request])[0]

    @app.get("/v1/policies", summary="List the policies", responses={422: {"model": Problem}})
    def list_policies() -> PoliciesOut:
        """List what `spec.policyRef.name` can name."""
        return PoliciesOut(policies=policies())

    @app.post("/predict", summary="Add a server, remove one, or nothing")
    def predict(request: PredictRequest) -> PredictOut:
        """Say what to do next on a little cluster of ten servers."""
        return predicted(request)


def _add_simulation(app: FastAPI, simulate: Simulate) -> None:
    turn, waiting = asyncio.Semaphore(1), [0]

    @app.post("/v1/simulations", summary="Run a load through forescale and an HPA", responses=BUSY)
    async def run_simulation(request: SimulationRequest) -> SimulationOut:
        """Run a load through the simulated cluster: forescale beside an HPA, with the reason for each decision."""
        if waiting[0] >= MOST_SIMULATIONS:
            raise BusyError
        waiting[0] += 1
        try:
            async with turn:
                return await asyncio.to_thread(simulate, request)
        finally:
            waiting[0] -= 1


class BusyError(Exception):
    """Too many simulations run already."""


def _add_pages(app: FastAPI) -> None:
    static = files("controller.api") / "static"
    app.mount("/static", StaticFiles(directory=str(static)), name="static")

    @app.get("/healthz", summary="Tell that the service answers")
    async def healthz() -> Health:
        return Health()

    for path, name in (("/", "index.html"), ("/docs", "docs.html")):
        page = (static / name).read_text(encoding="utf-8")
        app.add_api_route(path, _shown(page), response_class=HTMLResponse, include_in_schema=False)


def _shown(page: str) -> Callable[[], Awaitable[HTMLResponse]]:
    async def show() -> HTMLResponse:
        return HTMLResponse(page)

    return show


def _add_problems(app: FastAPI) -> None:
    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        status = 400 if first["type"] == "json_invalid" else 422
        return _problem(status, _line(first))

    @app.exception_handler(InputError)
    async def refused(request: Request, error: InputError) -> JSONResponse:
        return _problem(422, str(error))

    @app.exception_handler(BusyError)
    async def busy(request: Request, error: BusyError) -> JSONResponse:
        return _problem(503, f"{MOST_SIMULATIONS} simulations run or wait already, and that is the limit; ask later")


def _line(error: dict[str, Any]) -> str:
    """One line for an error of pydantic's: the field, the value, and what is expected."""
    place = ".".join(str(part) for part in error["loc"] if part != "body") or "body"
    given = error.get("input")
    shown = f" {str(given)[:80]!r}" if isinstance(given, str | int | float | bool) else ""
    return f"{place}:{shown} {error['msg'][0].lower()}{error['msg'][1:]}"


def _problem(status: int, detail: str) -> JSONResponse:
    return JSONResponse({"detail": detail}, status)


def _add_metrics(app: FastAPI) -> None:
    registry = CollectorRegistry()
    requests = Counter(
        "forescale_api_http_requests", "Requests answered.", ("route", "method", "code"), registry=registry
    )
    seconds = Histogram(
        "forescale_api_http_request_duration_seconds", "Time from a whole request to its answer.", ("route",),
        registry=registry,
    )  # fmt: skip

    @app.middleware("http")
    async def count(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        began_s = time.perf_counter()
        response = await answer(request)
        route = getattr(request.scope.get("route"), "path", "other")
        requests.labels(route, request.method if request.method in METHODS else "other", response.status_code).inc()
        seconds.labels(route).observe(time.perf_counter() - began_s)
        response.headers.update(SAFE_HEADERS)
        return response

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
