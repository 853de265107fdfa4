"""The cores that are this process's, and work in threads on them."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T, R = TypeVar("T"), TypeVar("R")


def cores() -> int:
    """How many cores this process has.

    Those that SLURM, a container or taskset left it; under torchrun its share of them.
    """
    try:
        ours = len(os.sched_getaffinity(0))
    except AttributeError:  # no such thing on macOS and Windows
        ours = os.cpu_count() or 1
    return max(1, ours // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))


def in_threads(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """What `function` makes of each item, in their order, a thread on each core.

    It gains where the work is done outside Python's lock: in OpenCV, NumPy, decoders, hashes. After
    an error or an interruption items in work are not waited for.
    """
    pool = ThreadPoolExecutor(cores())
    try:
        yield from pool.map(function, items)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
