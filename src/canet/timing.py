"""How long something takes."""

import statistics
import time
from collections.abc import Callable

ROUNDS = 5


def seconds_per_image(work: Callable[[], object], count: int, rounds: int = ROUNDS) -> float:
    """Median over rounds after a warm-up; `work` does `count` images."""
    times = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:]) / count
