"""Skeletons by trained networks, with the threshold and the switches tuned for them."""

import math
from argparse import Namespace
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import nn

from canet.core.console import UserError, warn
from canet.core.files import sha256_of
from canet.core.input_planes import channels_at
from canet.core.provenance import code_digest, commit, versions
from canet.core.recipe import Input, Postprocess, Predict, Recipe
from canet.core.recipe_files import overridden
from canet.data.input_maps import input_maps
from canet.geometry.candidates import ShapeGeometry, closed_drawings
from canet.geometry.masks import any_mask
from canet.inference.device import describe, resolve_precision
from canet.inference.distributed import join
from canet.inference.folded import folded
from canet.inference.predict import pad_to, predict_levels
from canet.inference.tiles import predict_in_tiles
from canet.inference.trained_run import TrainedRun, load_run
from canet.postprocess.rescale import count_pieces
from canet.postprocess.skeleton import in_words, to_skeleton
from canet.submission.predictor import Images, Predictor

SWITCHES = ("components", "join", "spur_px", "spur_radii")


@dataclass(frozen=True)
class Networks:
    """A run's networks on a device.

    Attributes:
        run: networks, threshold, post-processing.
        device: where the networks are.
        precision: `float32` or `bfloat16`.
        batch: images at once.
        tta: average over eight flips and turns.
    """

    run: TrainedRun
    device: torch.device
    precision: str
    batch: int
    tta: bool

    def predict(self, shapes: Images) -> Images:
        """Skeletons of shapes; those of each size are predicted together."""
        by_size: dict[tuple[int, int], list[str]] = {}
        for name, shape in shapes.items():
            by_size.setdefault(shape.shape, []).append(name)
        skeletons = {}
        for names in by_size.values():
            maps = input_maps([shapes[name] for name in names], self._input)
            for name, map_, levels in zip(names, maps, self.levels_of(maps)):
                skeletons[name] = self._skeleton(name, shapes[name], map_, levels)
        return skeletons

    def levels(self, shapes: list[np.ndarray]) -> np.ndarray:
        """Probabilities of shapes of one size, (N, H, W) uint8 levels."""
        return self.levels_of(input_maps(shapes, self._input))

    def levels_of(self, maps: np.ndarray) -> np.ndarray:
        """Probabilities for input maps, (N, C, H, W) float32 → (N, H, W) uint8; large in tiles."""
        return predict_in_tiles(self._levels_of, maps)

    @property
    def _input(self) -> Input:
        return self.run.models[0].recipe.input

    @cached_property
    def _networks(self) -> list[nn.Module]:
        return [folded(m.network) for m in self.run.models]

    def _levels_of(self, maps: np.ndarray) -> np.ndarray:
        stride = max(n.encoder.output_stride for n in self._networks)
        levels = predict_levels(
            self._networks,
            pad_to(maps, stride),
            device=self.device,
            precision=self.precision,
            batch=self.batch,
            tta=self.tta,
            window=self._input.window,
        )
        height, width = maps.shape[-2:]
        return levels[:, :height, :width]

    def _skeleton(
        self, name: str, shape: np.ndarray, map_: np.ndarray, levels: np.ndarray
    ) -> np.ndarray:
        settings = self.run.postprocess
        if settings.components == "one" and (count := count_pieces(shape)) > 1:
            warn(
                f"{name} has {count} pieces, one of them is drawn; "
                f"--components per_shape draws each"
            )
        candidates = self._candidates(shape, map_) if settings.join == "candidates" else None
        mask, threshold = any_mask(shape), self.run.threshold
        return to_skeleton(levels, threshold, mask, settings=settings, candidates=candidates)

    def _candidates(self, shape: np.ndarray, map_: np.ndarray) -> np.ndarray:
        """Those that the network saw, or computed where its input has none."""
        channels = channels_at(self._input.kind, "candidates")
        return closed_drawings(ShapeGeometry(shape)) if channels is None else map_[channels] > 0

    def facts(self) -> dict:
        """What a submission depends on and where it comes from."""
        recipe = self.run.models[0].recipe
        return {
            "run": self.run.folder.name,
            "commit": commit(),
            "code": code_digest("canet.submission.by_network"),
            "threshold": self.run.threshold,
            "threshold_from": self.run.threshold_origin,
            "postprocess": self.run.postprocess.model_dump(),
            "tta": self.tta,
            "device": describe(self.device),
            "precision": self.precision,
            "checkpoints": [
                {
                    "fold": m.facts["fold"],
                    "sha256": sha256_of(m.folder / "model.safetensors"),
                    "trained_at": m.facts["finished_at"],
                    "commit": m.facts["commit"],
                }
                for m in self.run.models
            ],
            "recipe": recipe.stored(),
            "versions": versions(),
        }

    def in_words(self) -> str:
        """The same for a person."""
        run = self.run
        return (
            f"{len(run.models)} model(s), threshold {run.threshold:.3f} ({run.threshold_origin}), "
            f"{in_words(run.postprocess)}, {'8 views' if self.tta else '1 view'}, "
            f"{describe(self.device)}, {self.precision}"
        )


def network_predictor(args: Namespace, asked: Recipe | None, folder: Path) -> Predictor:
    """The networks of a run, as the command line wants them.

    Args:
        args: of `make_submission.py`.
        asked: the recipe that --recipe names, None for the run's own; where either is beside --run
            or --recipe is missing, only what --set names of `predict` and `postprocess` counts.
        folder: of the run.

    Raises:
        UserError: the run is not trained, or an option is out of range.
    """
    world, device = join(args.device or (asked.machine.device if asked else "auto"))
    run = load_run(folder, args.folds, device)
    recipe = run.models[0].recipe
    is_beside = bool(args.run) or asked is None
    asked = asked or overridden(recipe, args.overrides)
    tuned_for = recipe.predict.model_copy(update={"tta": run.tta})
    settings = tuned_for if is_beside else asked.predict
    by_hand = {text.partition("=")[0] for text in args.overrides} if is_beside else None
    run = with_named_switches(run, _named(asked.postprocess, by_hand))
    settings = settings.model_copy(update=_named(asked.predict, by_hand))
    run = with_switches(with_threshold(run, args.threshold), args)
    tta = args.tta or settings.tta
    if "held-out" in run.threshold_origin and (len(run.models) > 1 or tta != run.tta):
        views = "8 views" if run.tta else "one view"
        run = replace(run, threshold_origin=f"{run.threshold_origin} of single models, {views}")
    precision = resolve_precision(recipe.train.precision, device)
    networks = Networks(run, device, precision, settings.batch, tta)
    every_piece = run.postprocess.components == "per_shape"
    facts, said = networks.facts(), networks.in_words()
    return Predictor(recipe, facts, said, networks.predict, world, every_piece)


def with_threshold(run: TrainedRun, threshold: float | None) -> TrainedRun:
    """The run with the threshold of the command line, if given, in place of the tuned one."""
    if threshold is None:
        return run
    if not 0 < threshold < 1:
        raise UserError(f"--threshold {threshold}: expected a number between 0 and 1")
    return replace(run, threshold=threshold, threshold_origin="--threshold")


def _named(section: Postprocess | Predict, only: set[str] | None) -> dict[str, object]:
    """What a recipe and --set name of a section; of that `only` these keys, if given."""
    name = type(section).__name__.lower()
    keys = {k for k in section.model_fields_set if only is None or f"{name}.{k}" in only}
    return section.model_dump(include=keys)


def with_named_switches(run: TrainedRun, named: dict[str, object]) -> TrainedRun:
    """The run with the switches that a recipe or an override names, whatever was tuned before."""
    changed = [k for k, value in named.items() if getattr(run.postprocess, k) != value]
    if not changed:
        return run
    origin = f"{run.threshold_origin}; {', '.join(changed)} as the recipe says"
    postprocess = run.postprocess.model_copy(update=named)
    return replace(run, postprocess=postprocess, threshold_origin=origin)


def with_switches(run: TrainedRun, args: Namespace) -> TrainedRun:
    """The run with the switches of the command line in place of the tuned ones."""
    given = {k: v for k in SWITCHES if (v := getattr(args, k)) is not None}
    if not given:
        return run
    wrong = [k for k in ("spur_px", "spur_radii") if not 0 <= given.get(k, 0) < math.inf]
    if wrong:
        option = "--" + wrong[0].replace("_", "-")
        raise UserError(f"{option} {given[wrong[0]]}: expected 0 or more")
    origin = f"{run.threshold_origin}; {', '.join(given)} set by hand"
    postprocess = run.postprocess.model_copy(update=given)
    return replace(run, postprocess=postprocess, threshold_origin=origin)
