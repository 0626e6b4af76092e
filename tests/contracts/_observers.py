"""The part of the patch contract about others who patch the same framework: OpenTelemetry's and OpenInference's instrumentors.

Every instrumentor that the environment has for an installed library is tried, as their own entry points name them.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from importlib import metadata
from typing import Any

import pytest

import aios_adapters
from aios_adapters.patching._patch import token_of
from aios_evals.endpoint import Endpoint
from tests.contracts._rig import MISSING, Rig, differing, requests_of
from tests.support.columns import ONCE, RESTORE

GROUP = "opentelemetry_instrumentor"
ORDERS = (
    ("instrument", "enable", "disable", "uninstrument"),
    ("instrument", "enable", "uninstrument", "disable"),
    ("enable", "instrument", "uninstrument", "disable"),
    ("enable", "instrument", "disable", "uninstrument"),
)


@functools.cache
def instrumentors() -> dict[str, Any]:
    """The instrumentors of the environment by the module they come from; none outside a framework's environment."""
    found = {point.value: point for point in metadata.entry_points(group=GROUP)}
    return {value.partition(":")[0]: point for value, point in sorted(found.items())}


class ObserversContract(Rig):
    """Adapters and observers stand above one another in any order, and go in any order."""

    @pytest.fixture(
        params=sorted(instrumentors()) or [pytest.param("", marks=pytest.mark.skip("no instrumentor here"))]
    )
    def observer(self, request: pytest.FixtureRequest) -> Iterator[Any]:
        """One instrumentor, taken out afterwards whatever happens."""
        instrumentor = instrumentors()[request.param].load()()
        self.imported()
        before = self.attributes()
        yield instrumentor
        aios_adapters.disable()
        if instrumentor.is_instrumented_by_opentelemetry:
            instrumentor.uninstrument()
        for (owner, name), value in before.items():
            if value is not MISSING:
                setattr(owner, name, value)
            elif name in vars(owner):
                delattr(owner, name)

    @pytest.mark.shows(ONCE, RESTORE)
    @pytest.mark.parametrize("order", ORDERS, ids=" ".join)
    def test_observers_before_and_after(self, observer: Any, order: tuple[str, ...], endpoint: Endpoint) -> None:
        """With an instrumentor: one syscall, the same result, requests and spans; without both, the same attributes.

        An instrumentor that came after us and goes after us puts back what it found: our function, which then only
        calls the original.
        """
        spans = _Spans()
        native = self.call(endpoint)
        spans.instrument(observer)
        assert self.call(endpoint) == native
        alone, requests = spans.taken(), requests_of(endpoint)[-1:]
        observer.uninstrument()
        left = self.attributes()

        steps = {
            "instrument": lambda: spans.instrument(observer),
            "uninstrument": observer.uninstrument,
            "enable": aios_adapters.enable,
            "disable": aios_adapters.disable,
        }
        for step in order[:2]:
            steps[step]()
        spans.taken()
        assert self.call(endpoint) == native
        assert aios_adapters.status().syscalls.get("llm") == 1
        assert spans.taken() == alone
        assert _same_but_trace_headers(requests_of(endpoint)[-1:], requests)
        for step in order[2:]:
            steps[step]()
            spans.taken()
            assert self.call(endpoint) == native
        assert spans.taken() == []
        changed = differing(left)
        if order[-1] == "uninstrument":
            changed = [at for at in changed if token_of(vars(at[0])[at[1]]).raw is not left[at]]
        assert changed == []
        aios_adapters.enable()
        self.call(endpoint)
        assert aios_adapters.status().syscalls.get("llm") == 1


class _Spans:
    """What an instrumentor reports."""

    def __init__(self) -> None:
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        self._exporter = InMemorySpanExporter()
        self._provider = TracerProvider()
        self._provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def instrument(self, observer: Any) -> None:
        """Have an instrumentor report here."""
        observer.instrument(tracer_provider=self._provider)

    def taken(self) -> list[str]:
        """The names of the spans since the last time."""
        self._provider.force_flush()
        names = [span.name for span in self._exporter.get_finished_spans()]
        self._exporter.clear()
        return names


def _same_but_trace_headers(one: list[Any], other: list[Any]) -> bool:
    """Instrumentors of HTTP clients add the span's own number to each request."""

    def plain(requests: list[Any]) -> list[Any]:
        return [(m, p, {k: v for k, v in h.items() if k != "traceparent"}, body) for m, p, h, body in requests]

    return plain(one) == plain(other)
