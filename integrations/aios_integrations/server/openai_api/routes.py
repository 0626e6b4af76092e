"""The routes of OpenAI's API: the four that call a model, and the list of models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from aios_integrations.server.asgi import Raw, send_json, send_problem
from aios_integrations.server.openai_api.models import Models
from aios_integrations.server.openai_api.problems import Refused
from aios_integrations.server.openai_api.served import Activity, Served
from aios_kernel.wire import PATHS

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from aios_integrations.server.asgi import Receive, Scope, Send
    from aios_kernel.kernel import Kernel

__all__ = ["openai_routes"]


def openai_routes(kernel: Kernel, activity: Activity) -> list[BaseRoute]:
    """Return the routes below /v1; `activity` counts the calls that are being answered."""
    models = Models(kernel)

    async def listed(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        await send_json(send, 200, models.listing())

    async def one(scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        try:
            await send_json(send, 200, models.entry(scope["path_params"]["model"]))
        except Refused as refused:
            await send_problem(send, refused.problem)

    called = [
        Route(f"/v1{path}", Raw(Served(kernel, path, models, activity)), methods=["POST"]) for path in sorted(PATHS)
    ]
    return [
        *called,
        Route("/v1/models", Raw(listed), methods=["GET"]),
        Route("/v1/models/{model:path}", Raw(one), methods=["GET"]),
    ]
