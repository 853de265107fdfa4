"""Many images: which there are, where their skeletons go, one table of all."""

import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from glob import glob, has_magic
from itertools import takewhile
from pathlib import Path

import pandas as pd

from canet.core.console import UserError, announce, printable, progress, shown
from canet.core.cores import in_threads
from canet.core.files import write_text
from canet.core.images import Unreadable
from canet.data.data_set import listed
from canet.skeletons.formats import FILES, Writer, writers
from canet.skeletons.options import Options
from canet.skeletons.read import SUFFIXES, read_pages
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
        UserError: something does not exist, there is no image, or results would lie among them.
    """
    found: dict[Path, str] = {}
    others: list[Path] = []
    for word in asked:
        start, paths = _matches(word, out)
        for path in paths:
            if path.is_dir() and out.resolve() in (path.resolve(), *path.resolve().parents):
                raise UserError(f"--out {shown(out)}: holds the images; name another folder")
            for inner in _files_of(path, out):
                if path.is_dir() and inner.suffix.lower() not in SUFFIXES:
                    others.append(inner)
                else:
                    found.setdefault(
                        Path(os.path.abspath(inner)), str(inner.relative_to(start or path))
                    )
    if not found:
        kinds = Counter(p.suffix.lower() or p.name for p in others)
        seen = listed(f"{n} {printable(kind)}" for kind, n in kinds.items()) or "nothing"
        raise UserError(
            f"{', '.join(map(printable, asked))}: found {seen}; expected images: "
            f"{', '.join(s[1:] for s in SUFFIXES)}"
        )
    return _named(found), others


def _matches(word: str, out: Path) -> tuple[Path | None, list[Path]]:
    """What a word of the command line names, and the folder that names are told from.

    That is the folder of a file, a glob's part without wildcards, and None for a folder itself.
    A glob does not look into `out`, which may hold earlier results.
    """
    path = Path(word)
    if path.exists() or path.is_symlink():
        return None if path.is_dir() else path.parent, [path]
    matches = [Path(p) for p in sorted(glob(word, recursive=True))] if has_magic(word) else []
    if not matches:
        raise UserError(f"{printable(word)}: no such file or folder; expected images")
    fixed = [*takewhile(lambda part: not has_magic(part), path.parts)]
    out = out.resolve()
    earlier = {path for path in matches if out in (path.resolve(), *path.resolve().parents)}
    return Path(*fixed), [path for path in matches if path not in earlier]


def _files_of(path: Path, out: Path) -> Iterable[Path]:
    """A file, or all in a folder but hidden ones, such as macOS leaves (.DS_Store, ._mask.png).

    Links that lead nowhere are files that cannot be read.
    """
    if not path.is_dir():
        return [path]
    out = out.resolve()
    inner = (p for p in sorted(path.rglob("*")) if p.is_file() or not p.exists())
    seen = (p for p in inner if not any(n.startswith(".") for n in p.relative_to(path).parts))
    return [p for p in seen if out not in p.resolve().parents]


def _named(found: dict[Path, str]) -> list[Source]:
    """Names without suffix; with as many folders before them and, if need be, with it as tell them
    apart, also where capitals do not, unless there are files that nothing else tells apart.

    Those that without it are called as a result keep it.
    """
    alike = Counter(str(path).casefold() for path in found)
    as_compared = str.casefold if max(alike.values()) == 1 else str
    parts = {path: len(Path(name).parts) for path, name in found.items()}

    def last_parts() -> dict[Path, Path]:
        return {p: Path(*p.relative_to(p.anchor).parts[-n:]) for p, n in parts.items()}

    while clashing := _clashing(whole := last_parts(), as_compared):
        for path in clashing:
            parts[path] += 1
    names = {
        path: name if name.stem.lower() in {SUMMARY, *FILES} else name.with_suffix("")
        for path, name in whole.items()
    }
    while clashing := [p for p in _clashing(names, as_compared) if names[p] != whole[p]]:
        names |= {path: whole[path] for path in clashing}
    return [Source(path, str(name)) for path, name in names.items()]


def _clashing(names: dict[Path, Path], as_compared: Callable[[str], str]) -> list[Path]:
    """The files whose names are not theirs alone."""
    keys = {path: as_compared(str(_without_page(name))) for path, name in names.items()}
    times = Counter(keys.values())
    return [path for path, key in keys.items() if times[key] > 1]


def _without_page(name: Path) -> Path:
    """The folder of an image whose page goes into a folder of this name, or the name."""
    return name.parent if re.fullmatch(r"page-\d{3,}", name.name, re.IGNORECASE) else name


def skeletonize_files(
    asked: Sequence[str], out: Path, options: Options, *, formats: Sequence[str] | str = "png"
) -> int:
    """Write skeletons of images, `out/NAME/…`, and `out/summary.csv`.

    Args:
        asked: files, folders, globs.
        out: folder to write.
        options: how.
        formats: keys of `formats.FORMATS`, or one text of them with commas.

    Returns:
        how many images could not be read; each is named.

    Raises:
        UserError: see `find_images`; an unknown format.
    """
    try:
        write = writers(formats)
    except UserError as error:
        raise UserError(f"--{error}") from None
    sources, others = find_images(asked, out)
    if options.method == "canet":
        from canet.skeletons.by_network import networks_of  # torch takes seconds to import

        networks_of(
            options.weights
        )  # before images are: what is wrong with it is no fault of theirs
    announce("skeletonize", [Path(a) for a in asked], [out])
    done: list[_Done] = []
    work = partial(_skeletonize_file, out=out, options=options, write=write)
    results = map(work, sources) if options.method == "canet" else in_threads(work, sources)
    try:
        done.extend(progress(results, total=len(sources), unit="image", delay=2))
    except KeyboardInterrupt:  # images in work would be waited for
        _write_summary(done, out)
        print(
            f"\nstopped: {len(done)} of {len(sources)} files are done", file=sys.stderr, flush=True
        )
        os._exit(1)
    rows = _write_summary(done, out)
    failed = [d.problem for d in done if d.problem]
    _tell("warning", [warning for d in done for warning in d.warnings])
    _tell("warning", [f"{shown(path)}: no image, left alone" for path in others])
    _tell("error", failed)
    print(f"   {rows} skeletons in {shown(out)}/, one row each in {SUMMARY}")
    return len(failed)


def _write_summary(done: list["_Done"], out: Path) -> int:
    """Write `summary.csv`; returns the number of its rows."""
    rows = [row for d in done for row in d.rows]
    table = pd.DataFrame(rows) if rows else pd.DataFrame(columns=["image", "page"])
    write_text(out / SUMMARY, table.to_csv(index=False, float_format="%.8g"))
    return len(rows)


@dataclass
class _Done:
    rows: list[dict]
    warnings: list[str]
    problem: str = ""


def _skeletonize_file(source: Source, out: Path, options: Options, write: list[Writer]) -> _Done:
    done = _Done([], [])
    try:
        for page in read_pages(source.path, options.kind):
            place = f" page {page.number}" if page.number else ""
            try:
                skeleton = skeleton_of(page.grey, page.opacity, options)
            except Unreadable as error:
                raise Unreadable(f"{error}{place}") from None
            folder = out / source.name
            for writer in write:
                writer(skeleton, folder / f"page-{page.number:03d}" if page.number else folder)
            warnings = skeleton.mask.warnings
            done.warnings += [f"{shown(source.path)}{place}: {w}" for w in warnings]
            row = {"image": Path(source.name).as_posix(), "page": page.number or ""}
            done.rows.append(row | skeleton.summary | {"warnings": "; ".join(warnings)})
    except Unreadable as error:
        done.problem = f"{shown(source.path)}: {error}"
    except MemoryError:
        done.problem = f"{shown(source.path)}: does not fit in memory; make it smaller"
    except OSError as error:
        if error.filename is None or Path(error.filename) != source.path:
            raise  # of what is written
        done.problem = f"{shown(source.path)}: {error.strerror}"
    return done


def _tell(kind: str, lines: list[str]) -> None:
    for line in lines[:MOST_TOLD]:
        print(f"   {kind}: {line}")
    if len(lines) > MOST_TOLD:
        print(f"   {kind}: … and {len(lines) - MOST_TOLD:,} more like these")


MOST_TOLD = 20
