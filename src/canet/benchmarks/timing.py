"""Seconds per image, and a table of them."""

import statistics
import timeit
from collections.abc import Callable, Iterable

ROUNDS = 5


def seconds_per_image(work: Callable[[], object], count: int) -> float:
    """Median over rounds after a warm-up; `work` does `count` images."""
    times = timeit.repeat(work, number=1, repeat=ROUNDS + 1)
    return statistics.median(times[1:]) / count


def seconds_of_each(step: Callable, items: Iterable) -> float:
    """`seconds_per_image` of a step that takes one item."""
    items = list(items)

    def all_of_them() -> None:
        for item in items:
            step(item)

    return seconds_per_image(all_of_them, len(items))


def print_table(rows: dict[str, float], reference: str) -> None:
    """Images a second and the cost relative to the reference row."""
    for name, seconds in rows.items():
        ratio = seconds / rows[reference]
        print(f"   {name:32} {1 / seconds:9.1f} images/s   {ratio:8.2f} × {reference}", flush=True)
