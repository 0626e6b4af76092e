"""Which models the kernel serves by itself, and under which names."""

from __future__ import annotations

import difflib
import fnmatch
import time
from typing import TYPE_CHECKING, Any

from aios_integrations.server.openai_api.problems import bad
from aios_kernel.cores.base import Core

if TYPE_CHECKING:
    from aios_integrations.server.openai_api.problems import Refused
    from aios_kernel.abi import LLMCall
    from aios_kernel.kernel import Kernel

__all__ = ["Models"]

_WILD = frozenset("*?[")


class Models:
    """The names a kernel's router serves. A pattern serves any name, and is listed by the model behind it."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._created = int(time.time())

    def names(self) -> list[str]:
        """The names that are listed."""
        found: dict[str, None] = {}
        for pattern, core in self._routes():
            found[_name_of(core) if _WILD & set(pattern) else pattern] = None
        return list(found)

    def listing(self) -> dict[str, Any]:
        """Return the list of models."""
        return {"object": "list", "data": [self._shown(name) for name in self.names()]}

    def entry(self, name: str) -> dict[str, Any]:
        """Return one model; raises `Refused` for one that is not served."""
        if not any(fnmatch.fnmatchcase(name, pattern) for pattern, _ in self._routes()):
            raise self._unknown(name)
        return self._shown(name)

    def check(self, call: LLMCall) -> None:
        """Raise `Refused` for a call that no core here can answer: a server cannot leave it to its caller."""
        matching = [core for pattern, core in self._routes() if fnmatch.fnmatchcase(call.model, pattern)]
        if not matching:
            raise self._unknown(call.model)
        if not any(core.serves(call) for core in matching):
            what = "embeddings" if call.operation == "embedding" else f"{call.operation}s"
            raise bad(f"the model {call.model!r} does not do {what} here: ask another model", "model", "model_cannot")

    def _routes(self) -> list[tuple[str, Core]]:
        """The serving routes, up to one that leaves every model to its own endpoint."""
        routes: list[tuple[str, Core]] = []
        for pattern, core in self._kernel.router.routes.items():
            if isinstance(core, Core) and not core.lease:
                routes.append((pattern, core))
        return routes

    def _shown(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": self._created, "owned_by": "aios"}

    def _unknown(self, name: str) -> Refused:
        names = self.names()
        if not names:
            message = (
                f"The model {name!r} does not exist: this server serves none; start it with `aios serve --model NAME`"
            )
        else:
            near = difflib.get_close_matches(name, names, n=3)
            hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
            listed = ", ".join(names)
            message = f"The model {name!r} does not exist.{hint} Served: {listed}; more: `aios serve --model NAME`."
        return bad(message, "model", "model_not_found", 404)


def _name_of(core: Core) -> str:
    model: Any = getattr(core, "model", None)
    return model if isinstance(model, str) and model else core.name
