"""The tests of CUDA's paths on a GPU; where there is none, on a stand-in that computes nothing.

`bash run.sh test --gpu` starts this. The stand-in (`stand_in.cpp`) takes the place of CUDA's
libraries under a CUDA build of torch. Real are torch's allocator, autograd, choice of attention
kernel, checks for waits, Dynamo and Inductor: crashes, wrong devices, waits, memory and recompiled
or recorded graphs are found. Values, times and NCCL are not.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from importlib.util import find_spec
from pathlib import Path

SOURCE = Path(__file__).with_name("stand_in.cpp")
WANTED = re.compile(r" U ((?:__)?cuda\w+|cublas\w+|cudnn\w+|cu[A-Z]\w+)")
LIBRARIES = ("torch_cuda", "c10_cuda", "torch_python", "caffe2_nvrtc")


def build(folder: Path) -> dict[str, str] | None:
    """Build the stand-in.

    Args:
        folder: for the library.

    Returns:
        what a process's environment needs for it; None where torch is no CUDA build, or there is no
        C++ compiler or no `nm`.
    """
    site = Path(sysconfig.get_paths()["platlib"])
    torch = Path(find_spec("torch").origin).parent
    headers = [p.parent for p in site.glob("nvidia/**/include/driver_types.h")]
    libraries = [torch / "lib" / f"lib{name}.so" for name in LIBRARIES]
    has_tools = shutil.which("g++") and shutil.which("nm")
    if not (has_tools and headers and all(path.exists() for path in libraries)):
        return None
    triton = site / "triton/backends/nvidia"
    headers.append(triton / "include")  # has crt/, which others lack
    listed = subprocess.run(
        ["nm", "-D", *map(str, libraries)], capture_output=True, text=True, check=True
    )
    wanted = set(WANTED.findall(listed.stdout))
    wanted |= set(re.findall(r"\bcu[A-Z]\w+", (triton / "driver.c").read_text()))
    rest = folder / "rest.cpp"  # all that the stand-in does not define does nothing
    lines = (
        f'extern "C" __attribute__((weak)) int {name}() {{ return 0; }}\n'
        for name in sorted(wanted)
    )
    rest.write_text("".join(lines))
    library = folder / "libcuda.so.1"  # by this name for who opens the driver
    command = ["g++", "-O1", "-w", "-fPIC", "-shared", *(f"-I{h}" for h in headers)]
    subprocess.run([*command, str(SOURCE), str(rest), "-o", str(library)], check=True)
    return {
        "LD_PRELOAD": str(library),
        "LD_LIBRARY_PATH": str(folder),
        "STAND_IN_GPUS": "2",
        "TORCH_CUDNN_SDPA_DEPRIORITIZED": "1",  # cuDNN's attention has no stand-in
        "TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor"),
        "TORCHINDUCTOR_COMPILE_THREADS": "1",  # the tests use all cores already
        "TRITON_CACHE_DIR": str(folder / "triton"),
    }


def has_gpu() -> bool:
    """Whether torch can use a GPU of this machine."""
    sys.path.insert(0, str(SOURCE.parents[2] / "src"))
    from canet.core.gpus import kernel_error, listed_gpus

    return bool(listed_gpus()) and kernel_error("cuda") is None


def main() -> None:
    command = [sys.executable, "-m", "pytest", *sys.argv[1:]]
    if has_gpu():
        print("== on this machine's GPU", flush=True)
        os.execv(sys.executable, command)
    with tempfile.TemporaryDirectory() as folder:
        environment = build(Path(folder))
        if environment is None:
            print("== skipped: no GPU, and no CUDA build of torch with g++ and nm for a stand-in")
            return
        print("== on a stand-in for a GPU, which computes nothing", flush=True)
        sys.exit(subprocess.run(command, env=os.environ | environment, check=False).returncode)


if __name__ == "__main__":
    main()
