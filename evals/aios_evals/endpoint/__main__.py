"""Run the endpoint by itself: `python -m aios_evals.endpoint --port 0 --capacity 16`. The first line is its URL as JSON."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
from collections.abc import Sequence
from concurrent.futures import Future

from ._server import Endpoint


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C."""
    endpoint = Endpoint(**vars(_parser().parse_args(argv)))
    _raise_file_limit()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(endpoint))
    return 0


async def _serve(endpoint: Endpoint) -> None:
    listening: Future[None] = Future()
    listening.add_done_callback(lambda _: print(json.dumps({"base_url": endpoint.base_url}), flush=True))
    await endpoint.serve(listening)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m aios_evals.endpoint", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port to listen on, 0 for a free one")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before a reply begins")
    parser.add_argument("--token-latency", type=float, default=0.0, help="seconds each completion token adds")
    parser.add_argument("--capacity", type=int, help="requests served at once (default: all)")
    parser.add_argument("--mode", choices=["queue", "reject"], default="queue", help="what happens beyond the capacity")
    parser.add_argument("--retry-after", type=float, help="seconds in the Retry-After header of a 429")
    parser.add_argument("--rpm", type=int, help="requests per window")
    parser.add_argument("--tpm", type=int, help="tokens per window")
    parser.add_argument("--window", type=float, default=60.0, help="seconds the limits are for")
    parser.add_argument("--reply-tokens", type=int, default=16, help="length of a default reply")
    return parser


def _raise_file_limit() -> None:
    """Allow as many connections as the system does; the usual soft limit of 1024 files is too low for load tests."""
    if sys.platform != "win32":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    sys.exit(main())
