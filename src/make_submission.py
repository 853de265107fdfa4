"""Predict a folder of shapes with a trained run and write leaderboard PNGs and a flat zip.

reads   runs/NAME/fold-K/model/ (the newest run without --run), its threshold.json, the shapes;
        weights/geometry/ where nothing is trained: no network, no GPU
writes  submissions/NAME.zip, submissions/NAME/*.png, submissions/NAME.json (the manifest) and
        submissions/NAME.png: up to 24 of the shapes with their skeletons, to look at

Shapes are checked first, the zip before it appears: names, count, sizes, values, no nested folder.
Larger shapes than those trained on are skeletonized small and drawn at their own size.
Memory does not grow with their number; a call that was killed continues.

examples:
  python src/make_submission.py                                   newest run, its test shapes
  python src/make_submission.py --run cpu --tta
  python src/make_submission.py --recipe cpu --set train.epochs=10     the run of that recipe
  python src/make_submission.py --recipe demo --run weights/geometry   another's, on its shapes
  python src/make_submission.py --run paper --folds 0 1 2 3 4     average of five models
  python src/make_submission.py --components one --spur-px 4      one piece, short spurs trimmed
  python src/make_submission.py --images photos/ --out photos     any folder of shape PNGs
  python src/make_submission.py --run weights/geometry --images photos/ --out photos
                                                      what comes with the repository
  python src/make_submission.py --images photos/ --out photos --longest-px 512
                                                      finer where shapes are large
  torchrun --nproc-per-node 4 -- src/make_submission.py --images many/ --out many
                                                      four processes, each a quarter of the shapes
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from canet import stage
from canet.dataset import list_images, looks_inverted
from canet.device import describe, resolve_precision
from canet.distance import inside
from canet.distributed import World, join
from canet.files import REPOSITORY, UserError, read_grey, sha256_of, shown
from canet.geometry import selection
from canet.geometry.candidates import plain_skeleton
from canet.input_kinds import vectors_of
from canet.map_cache import input_maps
from canet.overview import SHOWN
from canet.postprocess import to_skeleton
from canet.prediction import pad_to, predict_levels
from canet.recipe import Recipe
from canet.recipe import check as check_recipe
from canet.runs import TrainedRun, find_run, load_run
from canet.selection_training import FOLDER
from canet.submission import submit
from canet.switches import in_words
from canet.working_size import enlarge, pieces_of, shrink

SHIPPED = REPOSITORY / "weights" / "geometry"
LEAST_SIZE_PX = 32
SWITCHES = ("components", "join", "spur_px", "spur_radii")


Images = dict[str, np.ndarray]  # by file name


def predict_shapes(
    run: TrainedRun, shapes: Images, tta: bool, device, precision: str, batch: int
) -> Images:
    """Skeletons of shapes; those of each size are predicted together."""
    by_size: dict[tuple[int, int], list[str]] = {}
    for name, shape in shapes.items():
        by_size.setdefault(shape.shape, []).append(name)
    networks = [m.network for m in run.models]
    settings = run.models[0].recipe.input
    skeletons, vectors = {}, vectors_of(settings.kind)
    for size, group in by_size.items():
        stride = max(n.encoder.output_stride for n in networks)
        maps = pad_to(input_maps([shapes[name] for name in group], settings), stride)
        levels = predict_levels(networks, maps, device, precision, batch, tta, vectors=vectors)
        for name, level in zip(group, levels[:, : size[0], : size[1]]):
            shape, mask = shapes[name], inside(shapes[name])
            if run.postprocess.components == "one" and len(pieces := pieces_of(shape)) > 1:
                print(
                    f"   warning: {name} has {len(pieces)} pieces, one of them is drawn; "
                    f"--components per_shape draws each"
                )
            guide = plain_skeleton(shape) if run.postprocess.join == "candidates" else None
            skeletons[name] = to_skeleton(level, run.threshold, mask, run.postprocess, guide)
    return skeletons


def choose_skeletons(selector: selection.Selector, shapes: Images) -> Images:
    """Skeletons of shapes by geometry, one in each piece of a shape."""
    skeletons = {name: np.zeros(shape.shape, bool) for name, shape in shapes.items()}
    pieces = {name: pieces_of(shape) for name, shape in shapes.items()}
    for k in range(max(map(len, pieces.values()), default=0)):
        some = {name: found[k] for name, found in pieces.items() if k < len(found)}
        for name, skeleton in selection.predict(selector, some)[0].items():
            skeletons[name] |= skeleton
    return skeletons


def add_switches(parser) -> None:
    """Switches of the post-processing; those not given stay as tuned."""
    group = parser.add_argument_group("post-processing (default: as tuned)")
    group.add_argument("--components", choices=["any", "one", "per_shape"], help="pieces wanted")
    group.add_argument("--join", choices=["drop", "path", "candidates"], help="how to get there")
    group.add_argument("--spur-px", type=int, metavar="N", help="trim spurs of fewer pixels")
    group.add_argument("--spur-radii", type=float, metavar="K", help="… or than K local radii")


def switched(run: TrainedRun, args) -> TrainedRun:
    """The run with the switches of the command line in place of the tuned ones."""
    given = {k: v for k in SWITCHES if (v := getattr(args, k)) is not None}
    negative = [k for k in ("spur_px", "spur_radii") if given.get(k, 0) < 0]
    if negative:
        option = "--" + negative[0].replace("_", "-")
        raise UserError(f"{option} {given[negative[0]]}: expected 0 or more")
    if not given:
        return run
    origin = f"{run.threshold_origin}; {', '.join(given)} set by hand"
    return replace(
        run, postprocess=run.postprocess.model_copy(update=given), threshold_origin=origin
    )


def parse():
    parser = stage.recipe_parser(__doc__)
    parser.add_argument("--run", metavar="NAME", help="a run in runs/ (default: the newest)")
    parser.add_argument("--images", type=Path, metavar="DIR", help="shapes (default: test shapes)")
    parser.add_argument("--out", metavar="NAME", help="name or path (default: the run's name)")
    parser.add_argument("--folds", nargs="+", metavar="K", default=[], help="models to average")
    parser.add_argument("--threshold", type=float, metavar="T", help="0 to 1 (default: tuned)")
    parser.add_argument(
        "--longest-px",
        type=int,
        metavar="N",
        help="skeletonize larger shapes at this size, draw them at their own; 0: at their own "
        "(default: as trained)",
    )
    add_switches(parser)
    parser.add_argument("--tta", action="store_true", help="average over eight flips and turns")
    parser.add_argument("--device", help="auto, cpu, cuda, cuda:1 … (default: auto)")
    args = parser.parse_args()
    if args.longest_px and args.longest_px < LEAST_SIZE_PX:
        raise UserError(f"--longest-px {args.longest_px}: expected {LEAST_SIZE_PX} or more, or 0")
    return args


def destination(args, default: Path) -> Path:
    """The zip that --out means: a plain name goes to submissions/."""
    if not args.out:
        return default
    out = Path(args.out)
    plain = not out.is_absolute() and out.parent == Path(".")
    out = default.parent / out if plain else out
    return out.with_name(out.name.removesuffix(".zip") + ".zip")


def manifest_of(run: TrainedRun, tta: bool, device) -> dict:
    """What a submission depends on and where it comes from."""
    recipe = run.models[0].recipe
    return {
        "run": run.folder.name,
        "commit": stage.commit(),
        "threshold": run.threshold,
        "threshold_from": run.threshold_origin,
        "postprocess": run.postprocess.model_dump(),
        "tta": tta,
        "device": describe(device),
        "precision": resolve_precision(recipe.train.precision, device),
        "checkpoints": [
            {
                "fold": m.facts["fold"],
                "sha256": sha256_of(m.folder / "model.safetensors"),
                "trained_at": m.facts["finished_at"],
                "commit": m.facts["commit"],
            }
            for m in run.models
        ],
        "recipe": recipe.stored(),
        "versions": stage.versions(),
    }


@dataclass(frozen=True)
class Job:
    """A way to predict: its recipe, what the result depends on, what to say, the work itself."""

    recipe: Recipe
    facts: dict
    said: str
    predict: Callable[[Images], Images]
    world: World


def network_job(args, asked: Recipe | None, folder: Path) -> Job:
    """Networks of a run, with the threshold and the switches tuned for it."""
    world, device = join(args.device or (asked.machine.device if asked else "auto"))
    run = load_run(folder, args.folds, device)
    if args.threshold is not None:
        if not 0 < args.threshold < 1:
            raise UserError(f"--threshold {args.threshold}: expected a number between 0 and 1")
        run = replace(run, threshold=args.threshold, threshold_origin="--threshold")
    run = switched(run, args)
    recipe = run.models[0].recipe
    own = None if args.run else asked  # --recipe then gives the shapes alone
    settings = (own or recipe).predict
    tta = args.tta or settings.tta or (not own and run.tta)
    if "held-out" in run.threshold_origin and (len(run.models) > 1 or tta != run.tta):
        views = "8 views" if run.tta else "one view"
        run = replace(run, threshold_origin=f"{run.threshold_origin} of single models, {views}")
    facts = manifest_of(run, tta, device)
    said = (
        f"{len(run.models)} model(s), threshold {run.threshold:.3f} ({run.threshold_origin}), "
        f"{in_words(run.postprocess)}, "
        f"{'8 views' if tta else '1 view'}, {facts['device']}, {facts['precision']}"
    )
    precision, batch = facts["precision"], settings.batch

    def predict(shapes: Images) -> Images:
        return predict_shapes(run, shapes, tta, device, precision, batch)

    return Job(recipe, facts, said, predict, world)


def geometry_job(args, folder: Path) -> Job:
    """A learned choice among candidate skeletons, from a run or from `weights/`."""
    given = [k for k in ("threshold", "tta", "folds", *SWITCHES) if getattr(args, k)]
    if given:
        option = "--" + given[0].replace("_", "-")
        raise UserError(f"{option} is for networks; {shown(folder)} is geometry: leave it out")
    home = folder / FOLDER / "selection"
    home = home if home.is_dir() else folder
    selector, stored = selection.load(home)
    facts = {
        "run": folder.name,
        "commit": stage.commit(),
        "selection": {
            "sha256": sha256_of(home / selection.FOREST),
            **{k: stored[k] for k in ("settings", "f1_cross_fitted", "commit", "finished_at")},
        },
        "recipe": stored["recipe"],
        "versions": stage.versions(),
    }
    said = (
        f"geometry: {len(selector.candidates)} candidates, chosen by a forest "
        f"(F1 {stored['f1_cross_fitted']:.4f} out of fold)"
    )
    recipe = check_recipe(dict(stored["recipe"]), shown(home / selection.CONFIG))

    return Job(recipe, facts, said, partial(choose_skeletons, selector), join("cpu")[0])


def folder_to_use(args, asked: Recipe | None) -> Path:
    """The run that is asked for, or the newest, or what comes with the repository."""
    if asked and not args.run:
        return asked.run_folder
    try:
        return find_run(args.run)
    except UserError:
        if args.run or not (SHIPPED / selection.CONFIG).is_file():
            raise
    print(f"   nothing is trained yet: {shown(SHIPPED)}/ is used")
    return SHIPPED


def predict_files(paths: list[Path], predict: Callable[[Images], Images], longest: int) -> Images:
    """Skeletons by file name, those of large shapes by way of a smaller size."""
    shapes = {path.name: read_grey(path) for path in paths}
    for name, shape in shapes.items():
        if looks_inverted(inside(shape)):
            print(f"   warning: {name} looks black on white; expected white on black")
    small = predict({name: shrink(shape, longest) for name, shape in shapes.items()})
    return {name: enlarge(skeleton, shapes[name]) for name, skeleton in small.items()}


def main() -> None:
    args = parse()
    asked = stage.load_recipe(args) if args.recipe else None
    folder = folder_to_use(args, asked)
    geometry = any(
        (home / selection.FOREST).is_file() for home in (folder, folder / FOLDER / "selection")
    )
    job = geometry_job(args, folder) if geometry else network_job(args, asked, folder)
    recipe = asked or job.recipe
    shapes = args.images or recipe.data_root / recipe.data.test_shapes
    zip_path = destination(args, recipe.zip_path.with_name(f"{folder.name}.zip"))
    stage.announce("submission", [folder, shapes], [zip_path])
    paths = list_images(shapes)
    longest = job.recipe.data.size_px if args.longest_px is None else args.longest_px
    said = f"   {job.said}" + (f"\n   larger shapes at {longest} px" if longest else "")
    predict = partial(predict_files, predict=job.predict, longest=longest)
    facts = job.facts | {"longest_px": longest}
    if submit(paths, predict, zip_path, facts, said, args.force, job.world):
        folder = shown(zip_path.with_suffix(""))
        print(f"   {len(paths)} PNGs in {folder}/, checked and zipped: {shown(zip_path)}")
        print(f"   {shown(zip_path.with_suffix('.png'))} shows {min(len(paths), SHOWN)} of them")


if __name__ == "__main__":
    stage.run(main)
