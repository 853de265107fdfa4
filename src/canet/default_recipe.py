"""Which recipe suits this machine and data. Standard library only: run.sh asks before it installs.

Usage: python src/canet/default_recipe.py [data.root=PATH …] prints the recipe, then why.
"""

import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
USUAL_ROOT = "input/pixel-skelneton"


def has_gpu() -> bool:
    """Whether an NVIDIA driver lists a GPU."""
    tool = shutil.which("nvidia-smi")
    if not tool:
        return False
    listed = subprocess.run([tool, "-L"], capture_output=True, text=True, check=False)
    return listed.returncode == 0 and "GPU" in listed.stdout


def choose(overrides: list[str] = ()) -> tuple[str, str]:
    """(recipe, reason): `paper` with data and GPU, `cpu` with data, `demo` without data."""
    roots = [text.partition("=")[2] for text in overrides if text.startswith("data.root=")]
    root = roots[-1] if roots else USUAL_ROOT
    if not (REPOSITORY / root / "img_train_shape").is_dir():
        return "demo", f"there is no data set in {root}/, so shapes are generated"
    if has_gpu():
        return "paper", f"the data set is in {root}/ and there is a CUDA GPU"
    return "cpu", f"the data set is in {root}/ and there is no CUDA GPU"


if __name__ == "__main__":
    print(*choose(sys.argv[1:]), sep="\n")
