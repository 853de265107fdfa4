"""Joining and trimming held-out skeletons against plain thresholding."""

from functools import partial

import cv2

from canet.benchmarks.timing import print_table, seconds_of_each
from canet.core.recipe import Postprocess, Recipe
from canet.data.data_set import DataSet
from canet.evaluation.out_of_fold import load_out_of_fold, skeleton_of
from canet.postprocess.threshold import DEFAULT_THRESHOLD, tuned_threshold

WAYS = {
    "plain thresholding": {},
    "thinned": {"thin": True},
    "one piece, best kept": {"components": "one", "join": "drop"},
    "one piece, joined by paths": {"components": "one"},
    "the same, spurs trimmed": {"components": "one", "spur_px": 4},
}


def benchmark_postprocessing(recipe: Recipe) -> None:
    """Each way to one piece, on one core, at the run's threshold."""
    cv2.setNumThreads(1)
    images = load_out_of_fold(recipe, DataSet.of(recipe))
    tuned = tuned_threshold(recipe.run_folder)
    threshold = tuned["threshold"] if tuned else DEFAULT_THRESHOLD
    print(f"   {len(images.names)} held-out images, threshold {threshold:.3f}")

    def seconds(switches: dict) -> float:
        settings = Postprocess(**switches)
        count = range(len(images.names))
        drawn = partial(skeleton_of, images, threshold=threshold, settings=settings)
        return seconds_of_each(drawn, count)

    rows = {name: seconds(switches) for name, switches in WAYS.items()}
    print_table(rows, "plain thresholding")
