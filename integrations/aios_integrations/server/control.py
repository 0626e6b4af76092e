"""The control routes: look at a kernel, and decide about its agents and policies, from outside."""

from __future__ import annotations

import json
import os
from importlib import metadata
from typing import TYPE_CHECKING, Any, cast

from starlette.responses import JSONResponse
from starlette.routing import Route

from aios_integrations.server.approvals import approval_routes
from aios_integrations.server.asgi import Raw
from aios_integrations.server.feed import Events
from aios_kernel.errors import ConfigError, UnknownName
from aios_kernel.protocol import VERSION, encode_status
from aios_kernel.scheduling.registry import policy_names
from aios_kernel.wire import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from aios_kernel.kernel import Kernel
    from aios_kernel.process import Process

__all__ = ["PREFIX", "routes"]

PREFIX = "/aios/v1"
LONGEST_BODY = 65_536


def routes(kernel: Kernel) -> list[Route]:
    """Return the control routes over a kernel; who may come in is for the guard in front of them."""
    control = _Control(kernel)
    return [
        Route(f"{PREFIX}/status", control.status, methods=["GET"]),
        Route(f"{PREFIX}/agents", control.agents, methods=["GET"]),
        Route(f"{PREFIX}/agents/{{pid:int}}/{{action}}", control.decide, methods=["POST"]),
        Route(f"{PREFIX}/policy", control.policies, methods=["GET"]),
        Route(f"{PREFIX}/policy", control.set_policy, methods=["PUT"]),
        *approval_routes(PREFIX, kernel),
        Route(f"{PREFIX}/events", Raw(Events(kernel)), methods=["GET"]),
    ]


class _Control:
    """The handlers. They run on the server's event loop: nothing here waits."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    async def status(self, request: Request) -> Response:
        del request
        kernel = self._kernel
        server = {"protocol": VERSION, "version": _version(), "pid": os.getpid(), "now": kernel.clock.now()}
        return JSONResponse({"server": server, "policies": kernel.policy_names(), **encode_status(kernel.status())})

    async def agents(self, request: Request) -> Response:
        del request
        return JSONResponse({"agents": encode_status(self._kernel.status())["agents"]})

    async def decide(self, request: Request) -> Response:
        pid, action = int(request.path_params["pid"]), str(request.path_params["action"])
        actions: dict[str, Callable[[int], Process]] = {
            "kill": self._kernel.kill,
            "pause": self._kernel.pause,
            "resume": self._kernel.resume,
        }
        try:
            if action == "priority":
                process = self._kernel.set_priority(pid, _number(await _body(request), "priority"))
            elif action in actions:
                process = actions[action](pid)
            else:
                raise UnknownName("action", action, [*actions, "priority"])
        except ConfigError as error:
            return _refusal(error)
        return JSONResponse({"pid": pid, "name": process.name, "state": process.state, "priority": process.priority})

    async def policies(self, request: Request) -> Response:
        del request
        return JSONResponse(self._policies())

    async def set_policy(self, request: Request) -> Response:
        try:
            body = await _body(request)
            name, resource = body.get("policy"), body.get("resource")
            if not isinstance(name, str) or not (resource is None or isinstance(resource, str)):
                raise ConfigError(
                    'say which: {"policy": NAME, "resource": PATTERN}, the resource only where one is meant'
                )
            self._kernel.use_policy(name, resource)
        except ConfigError as error:
            return _refusal(error)
        return JSONResponse(self._policies())

    def _policies(self) -> dict[str, Any]:
        resources = self._kernel.status().resources
        now = [{"resource": one["resource"], "policy": one["policy"]} for one in resources]
        return {"policies": self._kernel.policy_names(), "resources": now, "known": policy_names()}


async def _body(request: Request) -> Mapping[str, Any]:
    data = b""
    async for piece in request.stream():
        data += piece
        if len(data) > LONGEST_BODY:
            raise ConfigError(f"the body is longer than {LONGEST_BODY} bytes")
    try:
        found = json.loads(data or b"{}")
    except ValueError as error:
        raise ConfigError(f"the body is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise ConfigError("the body is not a JSON object")
    return cast("dict[str, Any]", found)


def _number(body: Mapping[str, Any], key: str) -> int:
    value = body.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigError(f'{key} is {value!r}: use a whole number, as in {{"{key}": 1}}')
    return value


def _version() -> str:
    try:
        return metadata.version("aios-adapters")
    except metadata.PackageNotFoundError:
        return ""


def _refusal(error: ConfigError) -> Response:
    status, code = (404, "not_found") if isinstance(error, UnknownName) else (400, "bad_request")
    return JSONResponse(Problem(status, str(error), "invalid_request_error", code).body(), status)
