"""Each benchmark on a shape or two: what it measures is there, a figure in each row."""

import re

import cv2
import pytest

from canet.benchmarks import compact, skeletonize, timing
from canet.benchmarks.compact import benchmark_compact
from canet.benchmarks.maps import JOINED, benchmark_maps
from canet.benchmarks.postprocessing import WAYS, benchmark_postprocessing
from canet.benchmarks.prediction import benchmark_prediction
from canet.benchmarks.skeletonize import benchmark_skeletonize
from canet.benchmarks.submission import benchmark_submission
from canet.core.input_planes import PLANES
from canet.data.data_set import DataSet, list_images

MEDIAL = ["medial_axis", "zhang_suen"]
ROWS = {
    "maps": ["read and decode", *PLANES, *JOINED],
    "predict": ["shape to skeleton", "of it input planes", *MEDIAL],
    "postprocess": list(WAYS),
    "compact": ["outline", "drawing", *MEDIAL, "64 × 64", "48 × 48"],
    "skeletonize": ["silhouette 40 × 40", "vessels 40 × 40", "compact, pixels", "thin", "lee"],
    "submission": ["5 shapes"],
}


@pytest.mark.parametrize("what", ROWS)
def test_every_row_has_its_figures(what, trained, monkeypatch, capsys):
    monkeypatch.setattr(cv2, "setNumThreads", lambda count: None)  # it would stay
    monkeypatch.setattr(timing, "ROUNDS", 1)
    monkeypatch.setattr(compact, "ENLARGED", (1,))
    monkeypatch.setattr(compact, "VESSELS_PX", (48,))
    monkeypatch.setattr(skeletonize, "SIZES_PX", (40,))
    paths = list_images(DataSet.of(trained).train_shapes.path)[:2]
    match what:
        case "maps":
            benchmark_maps(paths)
        case "predict":
            benchmark_prediction(trained, paths, run=None, device_name="cpu")
        case "postprocess":
            benchmark_postprocessing(trained)
        case "compact":
            benchmark_compact(paths)
        case "skeletonize":
            benchmark_skeletonize()
        case "submission":
            benchmark_submission("weights/geometry", paths, most=5)
    said = capsys.readouterr().out
    for row in ROWS[what]:
        assert re.search(rf"^ +{re.escape(row)}\b.*\d", said, re.MULTILINE), row
    assert "nan" not in said
