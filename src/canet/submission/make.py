"""A submission from the command line: which run, which shapes, where to."""

from argparse import ArgumentParser, Namespace
from functools import partial
from pathlib import Path

from canet.core.console import REPOSITORY, UserError, announce, shown, warn
from canet.core.recipe import Recipe
from canet.core.recipe_files import overridden
from canet.core.runs import find_run
from canet.data.data_set import list_images, warn_of_others
from canet.selection import forest
from canet.submission.by_geometry import geometry_predictor
from canet.submission.predictor import Predictor
from canet.submission.preview import SHOWN
from canet.submission.write import submit, zip_beside

SHIPPED = REPOSITORY / "weights" / "geometry"
LEAST_SIZE_PX = 32
NETWORKS_ALONE = ("threshold", "tta", "folds", "components", "join", "spur_px", "spur_radii")
NETWORKS_ALONE += ("device",)
SECTIONS_OF_NETWORKS = ("postprocess.", "predict.")


def add_options(parser: ArgumentParser) -> None:
    """Add what to predict with which run, and the switches of the post-processing."""
    parser.add_argument("--run", metavar="NAME", help="a run in runs/ (default: the newest)")
    parser.add_argument("--images", type=Path, metavar="DIR", help="shapes (default: test shapes)")
    parser.add_argument("--out", metavar="NAME", help="name or path (default: the run's name)")
    parser.add_argument("--folds", nargs="+", metavar="K", default=[], help="models to average")
    parser.add_argument("--threshold", type=float, metavar="T", help="0 to 1 (default: tuned)")
    size = "skeletonize larger shapes at this size, draw them at their own; 0: at their own "
    size += "(default: as trained)"
    parser.add_argument("--longest-px", type=int, metavar="N", help=size)
    parser.add_argument("--tta", action="store_true", help="average over eight flips and turns")
    parser.add_argument("--device", help="auto, cpu, cuda, cuda:1 … (default: auto)")
    group = parser.add_argument_group("post-processing (default: as tuned)")
    group.add_argument("--components", choices=["any", "one", "per_shape"], help="pieces wanted")
    group.add_argument("--join", choices=["drop", "path", "candidates"], help="how to get there")
    group.add_argument("--spur-px", type=int, metavar="N", help="trim spurs of fewer pixels")
    group.add_argument("--spur-radii", type=float, metavar="K", help="… or than K local radii")


def make_submission(args: Namespace, asked: Recipe | None) -> None:
    """Predict a folder of shapes and write PNGs, zip, manifest and a picture.

    Args:
        args: of the command line, see `add_options`, and `force`.
        asked: the recipe that --recipe names, None without: then it is the run's own, over which
            --set goes.

    Raises:
        UserError: there is no such run, an option does not fit it, or a shape cannot be used.
    """
    if args.longest_px and args.longest_px < LEAST_SIZE_PX:
        raise UserError(f"--longest-px {args.longest_px}: expected {LEAST_SIZE_PX} or more, or 0")
    folder = folder_to_use(args, asked)
    predictor = predictor_of(args, asked, folder)
    recipe = asked or overridden(predictor.recipe, args.overrides)
    shapes = args.images or recipe.data_root / recipe.data.test_shapes
    zip_path = destination(args.out, recipe.zip_path.with_name(f"{folder.name}.zip"))
    announce("submission", [folder, shapes], [zip_path])
    paths = list_images(shapes)
    warn_of_others(shapes)
    longest = predictor.recipe.data.size_px if args.longest_px is None else args.longest_px
    is_new = submit(
        paths,
        partial(predictor.predict_files, longest_px=longest),
        zip_path,
        facts=predictor.facts | {"longest_px": longest},
        said=f"   {predictor.said}" + (f"\n   larger shapes at {longest} px" if longest else ""),
        force=args.force,
        world=predictor.world,
    )
    if is_new:
        written = shown(zip_path.with_suffix(""))
        print(f"   {len(paths)} PNGs in {written}/, checked and zipped: {shown(zip_path)}")
        print(f"   {shown(zip_path.with_suffix('.png'))} shows {min(len(paths), SHOWN)} of them")


def folder_to_use(args: Namespace, asked: Recipe | None) -> Path:
    """The run that is asked for, or the newest, or what comes with the repository."""
    if asked and not args.run:
        return asked.run_folder
    try:
        return find_run(args.run)
    except UserError:
        if args.run or not (SHIPPED / forest.CONFIG).is_file():
            raise
    print(f"   nothing is trained yet: {shown(SHIPPED)}/ is used")
    return SHIPPED


def predictor_of(args: Namespace, asked: Recipe | None, folder: Path) -> Predictor:
    """A run's forest, or its networks."""
    if home := forest.stored_in(folder):
        given = [k for k in NETWORKS_ALONE if _is_given(getattr(args, k))]
        keys = [text.partition("=")[0] for text in args.overrides]
        if idle := [k for k in keys if k.startswith(SECTIONS_OF_NETWORKS)]:
            # no error: run.sh passes what it was given to all that is shipped
            warn(f"{', '.join(idle)}: left out, since for networks; {shown(folder)} is geometry")
        return geometry_predictor(folder, home, given=given)
    from canet.submission.by_network import network_predictor  # torch takes seconds to import

    return network_predictor(args, asked, folder)


def _is_given(value: object) -> bool:
    """Whether an option of the command line was given; 0 was."""
    return value is not None and value is not False and value != []


def destination(out: str | None, default: Path) -> Path:
    """The zip that --out means: a plain name goes to submissions/."""
    if not out:
        return default
    path = Path(out)
    plain = not path.is_absolute() and path.parent == Path(".")
    path = default.parent / path if plain else path
    return zip_beside(path)
