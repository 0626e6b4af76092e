"""The router: which core answers a call, by model name, with a default; without one the call is leased."""

from __future__ import annotations

import fnmatch
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from aios_kernel.cores.base import Core
from aios_kernel.cores.registry import core
from aios_kernel.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aios_kernel.abi import LLMCall

__all__ = ["LEASE", "Router"]

#: In a mapping of models to cores: leave these models to their own endpoints.
LEASE = "lease"


class Router:
    """Map model names to cores.

    `llm` None leases every call; a core or its name serves every call the core can answer; a mapping of model names
    or patterns (`"gpt-*"`) to cores, names or `"lease"` decides by the call's model, first match first, `"*"` last.
    `endpoint` makes the leasing core for one (base_url, model).
    """

    def __init__(
        self,
        llm: Core | str | Mapping[str, Core | str] | None,
        endpoint: Callable[[str, str], Core],
        attach: Callable[[Core], None],
    ) -> None:
        self._endpoint, self._attach = endpoint, attach
        self._lock = threading.RLock()
        self._named: dict[str, Core] = {}
        self._leases: dict[tuple[str, str], Core] = {}
        routes = llm if isinstance(llm, Mapping) else {} if llm is None else {"*": llm}
        self._routes = [(pattern, self._resolve(spec)) for pattern, spec in routes.items()]

    def core_for(self, call: LLMCall) -> Core:
        """The core of the first route that matches the call's model and can answer it, else its endpoint's."""
        for pattern, served in self._routes:
            if fnmatch.fnmatchcase(call.model, pattern):
                if served is None:
                    break
                if served.serves(call):
                    return served
        return self._lease(call.endpoint, call.model)

    @property
    def served(self) -> list[Core]:
        """The serving cores."""
        return list(self._named.values())

    @property
    def routes(self) -> dict[str, Core | str]:
        """The routes with their cores made, to set up another router by."""
        return {pattern: LEASE if core is None else core for pattern, core in self._routes}

    def __iter__(self) -> Iterator[Core]:
        with self._lock:
            return iter([*self._named.values(), *self._leases.values()])

    def _resolve(self, spec: Core | str) -> Core | None:
        if spec == LEASE:
            return None
        name = spec if isinstance(spec, str) else spec.name
        if isinstance(spec, Core) and self._named.get(name, spec) is not spec:
            raise ConfigError(f"two cores are named {name!r}: give one of them another name")
        if name not in self._named:
            made = core(spec)
            self._named[name] = made
            self._attach(made)
        return self._named[name]

    def _lease(self, endpoint: str, model: str) -> Core:
        key = (endpoint, model)
        found = self._leases.get(key)
        if found is not None:
            return found
        with self._lock:
            if key not in self._leases:
                made = self._endpoint(endpoint, model)
                self._attach(made)
                self._leases[key] = made
            return self._leases[key]
