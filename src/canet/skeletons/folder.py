"""Many images: which there are, where their skeletons go, one table of all."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from glob import glob, has_magic
from pathlib import Path

import pandas as pd

from canet.core.console import UserError, announce, printable, progress, shown
from canet.core.cores import in_threads
from canet.core.files import write_text
from canet.core.images import Unreadable
from canet.data.data_set import listed
from canet.skeletons.formats import FORMATS
from canet.skeletons.options import Options
from canet.skeletons.read import SUFFIXES, Page, read_pages
from canet.skeletons.skeleton import Skeleton
from canet.skeletons.skeletonize import skeleton_of

SUMMARY = "summary.csv"


@dataclass(frozen=True)
class Source:
    """An image file and what its folder of results is called."""

    path: Path
    name: str


def find_images(asked: Sequence[str], out: Path) -> tuple[list[Source], list[Path]]:
    """The images that files, folders with what is in them, and globs name.

    Args:
        asked: of the command line.
        out: the folder of results, which is not looked into.

    Returns:
        the images, each once, and what else lies in the folders.

    Raises:
        UserError: something does not exist, or there is no image.
    """
    found: dict[Path, str] = {}
    others: list[Path] = []
    for word in asked:
        paths = [Path(word)]
        if not paths[0].exists() and has_magic(word):
            paths = [Path(p) for p in sorted(glob(word, recursive=True))]
        if not paths or not paths[0].exists():
            raise UserError(f"{printable(word)}: no such file or folder; expected images")
        for path in paths:
            for inner in _files_of(path, out):
                if path.is_dir() and inner.suffix.lower() not in SUFFIXES:
                    others.append(inner)
                else:
                    start = path if path.is_dir() else path.parent
                    found.setdefault(inner.resolve(), str(inner.relative_to(start)))
    if not found:
        kinds = Counter(p.suffix.lower() or p.name for p in others)
        seen = listed(f"{n} {printable(kind)}" for kind, n in kinds.items()) or "nothing"
        raise UserError(
            f"{', '.join(map(printable, asked))}: found {seen}; expected images: "
            f"{', '.join(s[1:] for s in SUFFIXES)}"
        )
    return _named(found), others


def _files_of(path: Path, out: Path) -> Iterable[Path]:
    if not path.is_dir():
        return [path]
    out = out.resolve()
    inner = (p for p in sorted(path.rglob("*")) if p.is_file())
    return [p for p in inner if out not in p.resolve().parents]


def _named(found: dict[Path, str]) -> list[Source]:
    """Names without suffix; with as many folders before them and, if need be, with it as tell them
    apart."""
    parts = {path: len(Path(name).parts) for path, name in found.items()}
    while True:
        names = {path: Path(*path.parts[-n:]) for path, n in parts.items()}
        times = Counter(names.values())
        clashing = [path for path, name in names.items() if times[name] > 1]
        if not clashing:
            break
        for path in clashing:
            parts[path] += 1
    times = Counter(name.with_suffix("") for name in names.values())
    stems = {path: name.with_suffix("") for path, name in names.items()}
    return [Source(p, str(names[p] if times[stems[p]] > 1 else stems[p])) for p in found]


def skeletonize_files(
    asked: Sequence[str], out: Path, options: Options, *, formats: Sequence[str] = ("png",)
) -> int:
    """Write skeletons of images, `out/NAME/…`, and `out/summary.csv`.

    Args:
        asked: files, folders, globs.
        out: folder to write.
        options: how.
        formats: keys of `FORMATS`.

    Returns:
        how many images could not be read; each is named.

    Raises:
        UserError: see `find_images`; an unknown format.
    """
    if unknown := [f for f in formats if f not in FORMATS]:
        raise UserError(f"--formats {unknown[0]}: expected some of {', '.join(FORMATS)}")
    sources, others = find_images(asked, out)
    announce("skeletonize", [Path(a) for a in asked], [out])
    rows, failed, said = [], [], []
    work = partial(_skeletonize_file, out=out, options=options, formats=formats)
    results = map(work, sources) if options.method == "canet" else in_threads(work, sources)
    for done in progress(results, total=len(sources), unit="image", delay=2):
        rows += done.rows
        said += done.warnings
        failed += [done.problem] if done.problem else []
    write_text(out / SUMMARY, pd.DataFrame(rows).to_csv(index=False, float_format="%.6g"))
    _tell(said, [f"{shown(path)}: no image, left alone" for path in others], failed)
    print(f"   {len(rows)} skeletons in {shown(out)}/, one row each in {SUMMARY}")
    return len(failed)


@dataclass
class _Done:
    rows: list[dict]
    warnings: list[str]
    problem: str = ""


def _skeletonize_file(source: Source, out: Path, options: Options, formats: Sequence[str]) -> _Done:
    done = _Done([], [])
    try:
        for page in read_pages(source.path, labels=options.labels):
            place = f" page {page.number}" if page.number else ""
            try:
                skeleton = skeleton_of(page.grey, page.opaque, options)
            except UserError as error:
                raise Unreadable(f"{error!s}{place}") from None
            _write(skeleton, page, out / source.name, formats)
            warnings = skeleton.mask.warnings
            done.warnings += [f"{shown(source.path)}{place}: {w}" for w in warnings]
            row = {"image": Path(source.name).as_posix(), "page": page.number or ""}
            done.rows.append(row | skeleton.summary | {"warnings": "; ".join(warnings)})
    except Unreadable as error:
        done.problem = f"{shown(source.path)}: {error}"
    except OSError as error:
        if error.filename is None or Path(error.filename) != source.path:
            raise  # of what is written
        done.problem = f"{shown(source.path)}: {error.strerror}"
    return done


def _write(skeleton: Skeleton, page: Page, folder: Path, formats: Sequence[str]) -> None:
    folder = folder / f"page-{page.number:03d}" if page.number else folder
    for name in formats:
        FORMATS[name](skeleton, folder)


def _tell(warnings: list[str], others: list[str], failed: list[str]) -> None:
    for kind, lines in (("warning", warnings), ("warning", others), ("error", failed)):
        for line in lines[:MOST_TOLD]:
            print(f"   {kind}: {line}")
        if len(lines) > MOST_TOLD:
            print(f"   {kind}: … and {len(lines) - MOST_TOLD:,} more like these")


MOST_TOLD = 20
