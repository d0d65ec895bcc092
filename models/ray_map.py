"""Episodes on a Ray cluster: a ``Map`` of ``models.evaluation`` whose jobs run on other machines.

Every machine needs this package and what the policy is made from under the same paths. A job that a
lost worker takes with it is run anew, and comes to the same: it depends on its seed alone.
"""

from __future__ import annotations

import logging
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from models.evaluation import Map
from models.rollout import use_one_thread

LOCAL = "local"
AHEAD = 2
"""Jobs handed over for each core of the cluster, so that none waits for the next."""


CONNECT_S = 5.0


class ClusterError(ValueError):
    """There is no Ray, or no cluster at the address."""


@contextmanager
def cluster(address: str, workers: int | None = None) -> Iterator[Map]:
    """A ``Map`` over the cluster at ``address``, as ``ray start --head`` prints it.

    ``local`` starts one on this machine with ``workers`` cores, which ends with the context. Raises
    ClusterError.
    """
    ray = _package()
    own = address == LOCAL
    if not own:
        _check_reachable(address)
    arguments: dict[str, Any] = {"num_cpus": workers} if own else {"address": address}
    if own:
        arguments |= {"address": "local", "include_dashboard": False}
    try:
        ray.init(
            log_to_driver=False, logging_level=logging.ERROR, configure_logging=False, **arguments
        )
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        raise ClusterError(f"no cluster at {address!r}: {str(error).splitlines()[0]}") from error
    try:
        yield _map_on(ray)
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Ray itself waits for minutes; ``auto``, the cluster that this machine is of, it must find."""
    if address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), CONNECT_S).close()
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"no cluster at {address!r} ({error}); wanted is local, auto or HOST:PORT"
        ) from error


def _map_on(ray: Any) -> Map:
    work = ray.remote(num_cpus=1, max_retries=3)(_work)

    def apply(function: Callable[[Any], Any], jobs: Iterable[Any]) -> Iterator[Any]:
        shared = ray.put(function)
        limit = AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))
        waiting: deque[Any] = deque()
        for job in jobs:
            waiting.append(work.remote(shared, job))
            if len(waiting) >= limit:
                yield ray.get(waiting.popleft())
        while waiting:
            yield ray.get(waiting.popleft())

    return apply


def _work(function: Callable[[Any], Any], job: Any) -> Any:
    use_one_thread()
    return function(job)


def _package() -> Any:
    try:
        import ray
    except ImportError as error:
        raise ClusterError("--ray needs the extra 'ray': pip install 'oat-edge[ray]'") from error
    return ray
