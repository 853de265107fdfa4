"""Does this Python have what requirements.txt asks for? Standard library only; exit code 0 or 1."""

import re
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parents[3] / "requirements.txt"
REQUIREMENT = re.compile(r"([A-Za-z0-9_.-]+)(?:\[[\w,-]+\])?\s*(.*)")  # extras are not asked for
BOUND = re.compile(r"(>=|<|!=)\s*([\d.]+)")
COMPARE = {
    ">=": lambda found, bound: found >= bound,
    "<": lambda found, bound: found < bound,
    "!=": lambda found, bound: found != bound,
}


def numbers(text: str) -> tuple[int, ...]:
    """(2, 11, 0) for `2.11.0+cu130`."""
    return tuple(int(n) for n in re.match(r"[\d.]*\d", text).group().split("."))


def problem_with(line: str) -> str | None:
    """What is missing for one line of requirements.txt, None where nothing is."""
    match = REQUIREMENT.match(line.partition("#")[0].strip())
    if not match:
        return None
    name, bounds = match.groups()
    try:
        found = version(name)
    except PackageNotFoundError:
        return f"{name} is missing"
    satisfied = all(COMPARE[op](numbers(found), numbers(b)) for op, b in BOUND.findall(bounds))
    return None if satisfied else f"{name} is {found}, wanted {bounds}"


if __name__ == "__main__":
    found = [problem_with(line) for line in REQUIREMENTS.read_text().splitlines()]
    problems = [p for p in found if p]
    print(*problems, sep="\n", file=sys.stderr)
    sys.exit(1 if problems else 0)
