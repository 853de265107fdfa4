"""Which recipe suits this machine and data. Standard library only: run.sh asks before it installs.

Usage: PYTHONPATH=src python -m canet.core.default_recipe [data.root=PATH …]
prints the recipe, then why.
"""

import sys
from pathlib import Path

from canet.core.gpus import listed_gpus, why_none

REPOSITORY = Path(__file__).resolve().parents[3]
USUAL_ROOT = "input/pixel-skelneton"


def choose(overrides: list[str] = ()) -> tuple[str, str]:
    """(recipe, reason): `canet` with data and GPU, `cpu` with data, `demo` without data.

    Whether torch can use the GPU is another question, see `gpus`.

    Raises:
        FileNotFoundError: data.root is given and there is no data set.
    """
    given = dict(text.partition("=")[::2] for text in overrides)
    root = given.get("data.root", USUAL_ROOT)
    if (REPOSITORY / root / "generated.json").exists():
        return "demo", f"the shapes in {root}/ were generated"
    if not (REPOSITORY / root / "img_train_shape").is_dir():
        if "data.root" in given:
            raise FileNotFoundError(f"data.root={root}: no img_train_shape/ there; mend the path")
        return "demo", f"there is no data set in {root}/, so shapes are generated"
    if given.get("machine.device") == "cpu":
        return "cpu", f"the data set is in {root}/ and machine.device is cpu"
    if gpus := listed_gpus():
        return "canet", f"the data set is in {root}/ and there is a GPU ({gpus[0].name})"
    return "cpu", f"the data set is in {root}/ and {why_none()}"


if __name__ == "__main__":
    try:
        print(*choose(sys.argv[1:]), sep="\n")
    except FileNotFoundError as error:
        sys.exit(f"error: {error}")
