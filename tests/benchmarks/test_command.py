import numpy as np
import pytest
from scripts import run_script

from canet.core.images import write_png


@pytest.mark.parametrize("what", ["maps", "predict"])
def test_what_cannot_be_measured_is_one_line(what, tmp_path, overrides):
    for size in (32, 64):
        write_png(tmp_path / "shapes" / f"{size}.png", np.full((size, size), 255, np.uint8))
    words = (what, "--images", tmp_path / "shapes", "--recipe", "demo")
    done = run_script("benchmark", *words, "--count", "0", "--set", *overrides)
    assert (done.code, done.stderr) == (1, "error: --count 0: expected 1 or more\n")
    if what == "predict":
        done = run_script("benchmark", *words, "--set", *overrides)
        assert done.code == 1 and done.stderr.count("\n") == 1
        assert "64.png: is 64×64, the others 32×32; bring all to one size" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("maps", "--rows", "plain"), "--rows is for train; maps has none"),
        (("compact", "--device", "cuda:7"), "--device is for predict, train; compact has none"),
        (("skeletonize", "--count", "3"), "--count is for maps, predict, compact, submission; sk"),
    ],
)
def test_what_a_benchmark_has_not_is_refused(words, message):
    done = run_script("benchmark", *words)
    assert done.code == 1 and done.stderr.startswith(f"error: {message}")
