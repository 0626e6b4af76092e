"""The application: which route answers what, behind one guard.

Beside OpenAI's API it mounts what the neighbouring modules offer: `channel.make_channel(kernel)`, an ASGI callable, and
`control.routes(kernel)`, Starlette's routes.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import Route

from aios_integrations.server.asgi import Raw
from aios_integrations.server.guard import Guard
from aios_integrations.server.openai_api import openai_routes
from aios_kernel.address import CHANNEL
from aios_kernel.wire import Problem

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from aios_integrations.server.asgi import App
    from aios_integrations.server.guard import Rules
    from aios_integrations.server.openai_api import Activity
    from aios_kernel.kernel import Kernel

__all__ = ["make_app"]


def make_app(kernel: Kernel, rules: Rules, activity: Activity) -> App:
    """Return the ASGI application over a kernel; `activity` counts the calls that are being answered."""
    routes: list[BaseRoute] = [
        Route("/health", _health, methods=["GET"]),
        *openai_routes(kernel, activity),
        *_channel(kernel),
        *_control(kernel),
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _no_route})
    return Guard(app, rules)


def _channel(kernel: Kernel) -> list[BaseRoute]:
    module = _neighbour("channel")
    return [] if module is None else [Route(CHANNEL, Raw(module.make_channel(kernel)), methods=["POST"])]


def _control(kernel: Kernel) -> list[BaseRoute]:
    module = _neighbour("control")
    return [] if module is None else list(module.routes(kernel))


def _neighbour(name: str) -> Any:
    full = f"aios_integrations.server.{name}"
    try:
        return import_module(full)
    except ModuleNotFoundError as error:
        if error.name != full:
            raise
        return None


async def _health(request: Request) -> Response:
    del request
    return JSONResponse({"status": "ok"})


async def _no_route(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    known = "GET /v1/models, POST /v1/chat/completions, /v1/completions, /v1/responses, /v1/embeddings"
    message = f"Invalid URL ({request.method} {request.url.path}): this server answers {known}"
    problem = Problem(status, message, "invalid_request_error", "unknown_url" if status == 404 else None)
    return JSONResponse(problem.body(), status, headers=dict(getattr(error, "headers", None) or {}))
