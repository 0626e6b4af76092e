"""The control routes for approvals: the calls that wait for a person, and the person's word."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from starlette.responses import JSONResponse
from starlette.routing import Route

from aios_kernel.access import AccessManager, Answer
from aios_kernel.errors import ConfigError, UnknownName
from aios_kernel.secrets import redact_data
from aios_kernel.wire import Problem

if TYPE_CHECKING:
    from starlette.requests import Request as HttpRequest
    from starlette.responses import Response

    from aios_kernel.access import Request
    from aios_kernel.kernel import Kernel

__all__ = ["approval_routes"]

LONGEST_BODY = 4096


def approval_routes(prefix: str, kernel: Kernel) -> list[Route]:
    """Return the routes over a kernel's access managers; a kernel without one has no open questions."""
    routes = _Approvals(kernel)
    return [
        Route(f"{prefix}/approvals", routes.listed, methods=["GET"]),
        Route(f"{prefix}/approvals/{{number}}", routes.decide, methods=["POST"]),
    ]


class _Approvals:
    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    @property
    def _open(self) -> list[tuple[AccessManager, Request]]:
        managers = [one for one in self._kernel.managers if isinstance(one, AccessManager)]
        return [(one, request) for one in managers for request in one.waiting]

    async def listed(self, request: HttpRequest) -> Response:
        del request
        return JSONResponse({"approvals": [_told(one) for _, one in self._open]})

    async def decide(self, request: HttpRequest) -> Response:
        number = str(request.path_params["number"])
        try:
            answer = _answer(await request.body())
            manager, found = next((pair for pair in self._open if pair[1].id == number), (None, None))
            if manager is None or found is None or not manager.answer(number, answer):
                raise UnknownName("open question", number, [one.id for _, one in self._open])
        except ConfigError as error:
            status, code = (404, "not_found") if isinstance(error, UnknownName) else (400, "bad_request")
            return JSONResponse(Problem(status, str(error), "invalid_request_error", code).body(), status)
        return JSONResponse(_told(found))


def _told(request: Request) -> dict[str, Any]:
    return {**redact_data(request), "target": request.target}


def _answer(body: bytes) -> Answer:
    try:
        found: Any = json.loads(body) if len(body) <= LONGEST_BODY else None
    except ValueError:
        found = None
    given = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    allowed, remember = given.get("allowed"), given.get("remember")
    number = remember is None or (
        isinstance(remember, (int, float)) and not isinstance(remember, bool) and remember > 0
    )
    if not isinstance(allowed, bool) or not number:
        raise ConfigError(
            'say {"allowed": true or false, "remember": seconds}, the seconds only where it is to be remembered'
        )
    return Answer(allowed=allowed, by="control", remember=remember)
