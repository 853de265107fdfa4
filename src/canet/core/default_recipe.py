"""Which recipe suits this machine and data. Standard library only: run.sh asks before it installs.

Usage: python src/canet/core/default_recipe.py [data.root=PATH …] prints the recipe, then why.
"""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
USUAL_ROOT = "input/pixel-skelneton"


def has_gpu() -> bool:
    """Whether an NVIDIA driver lists a GPU that torch, if it is installed, can use."""
    tool = shutil.which("nvidia-smi")
    if not tool:
        return False
    listed = subprocess.run([tool, "-L"], capture_output=True, text=True, check=False)
    if listed.returncode or "GPU" not in listed.stdout:
        return False
    if importlib.util.find_spec("torch") is None:
        return True
    import torch

    return torch.cuda.is_available()


def choose(overrides: list[str] = ()) -> tuple[str, str]:
    """(recipe, reason): `canet` with data and GPU, `cpu` with data, `demo` without data.

    Raises:
        FileNotFoundError: data.root is given and there is no data set.
    """
    roots = [text.partition("=")[2] for text in overrides if text.startswith("data.root=")]
    root = roots[-1] if roots else USUAL_ROOT
    if (REPOSITORY / root / "generated.json").exists():
        return "demo", f"the shapes in {root}/ were generated"
    if not (REPOSITORY / root / "img_train_shape").is_dir():
        if roots:
            raise FileNotFoundError(f"data.root={root}: no img_train_shape/ there; mend the path")
        return "demo", f"there is no data set in {root}/, so shapes are generated"
    if has_gpu():
        return "canet", f"the data set is in {root}/ and there is a CUDA GPU"
    return "cpu", f"the data set is in {root}/ and there is no CUDA GPU"


if __name__ == "__main__":
    try:
        print(*choose(sys.argv[1:]), sep="\n")
    except FileNotFoundError as error:
        sys.exit(f"error: {error}")
