"""Which recipe suits this machine and data. Standard library only: run.sh asks before it installs.

Usage: PYTHONPATH=src python -m canet.core.default_recipe [data.root=PATH …]
prints the recipe, then why.
"""

import sys
from pathlib import Path

from canet.core.gpus import listed_gpus, why_none

REPOSITORY = Path(__file__).resolve().parents[3]
USUAL_ROOT = "input/pixel-skelneton"
SHAPES = "img_train_shape"


def data_elsewhere() -> str | None:
    """That a data set lies in another folder of input/ than the usual one, and what to do."""
    ways = [f"{above}{SHAPES}" for above in ("", "*/", "*/*/")]
    found = [shapes.parent for way in ways for shapes in (REPOSITORY / "input").glob(way)]
    roots = sorted(root for root in found if not (root / "generated.json").exists())
    if not roots:
        return None
    root = roots[0].relative_to(REPOSITORY).as_posix()
    return f"there is a data set in {root}/: move it there, or add data.root={root}"


def choose(overrides: list[str] = ()) -> tuple[str, str]:
    """(recipe, reason): `canet` with data and GPU, `cpu` with data, `demo` without data.

    Whether torch can use the GPU is another question, see `gpus`.

    Raises:
        FileNotFoundError: data.root is given and there is no data set, or it is not and there is
            one in another folder of input/.
    """
    given = dict(text.partition("=")[::2] for text in overrides)
    root = given.get("data.root", USUAL_ROOT)
    if (REPOSITORY / root / "generated.json").exists():
        return "demo", f"the shapes in {root}/ were generated"
    if not (REPOSITORY / root / SHAPES).is_dir():
        if "data.root" in given:
            raise FileNotFoundError(f"data.root={root}: no {SHAPES}/ there; mend the path")
        if elsewhere := data_elsewhere():
            raise FileNotFoundError(f"{root}: no {SHAPES}/ there; {elsewhere}")
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
