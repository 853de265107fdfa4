"""The page: a shape on the left, its skeleton on the right.

The browser's drawing is the one truth: files and examples become drawings there, and every change
of it or of a switch draws the skeleton anew.
"""

import os
import shutil
from base64 import b64decode
from collections.abc import Iterator
from html import escape
from importlib.util import find_spec
from pathlib import Path
from threading import Lock

import gradio as gr

from canet.app import shapes, view
from canet.core.console import UserError
from canet.core.files import digest_of
from canet.skeletons.formats import FORMATS
from canet.skeletons.options import METHODS, NETWORK_NEEDS
from canet.skeletons.read import SUFFIXES
from canet.skeletons.skeleton import Skeleton
from canet.skeletons.skeletonize import skeletonize

HERE = Path(__file__).resolve().parent
HAS_NETWORK = all(map(find_spec, NETWORK_NEEDS))
NAMES = {
    "compact": "compact (geometry)",
    "canet": "CANet (trained)",
    "skeletonize": "scikit-image: skeletonize",
    "lee": "scikit-image: lee",
    "medial_axis": "scikit-image: medial_axis",
    "thin": "scikit-image: thin",
}
DOWNLOADS = {  # on the button: a key of `FORMATS`, the file that it writes
    "PNG": ("png", "skeleton.png"),
    "SVG": ("svg", "skeleton.svg"),
    "CSV": ("csv", "branches.csv"),
    "CSV, nodes": ("csv", "nodes.csv"),
    "GraphML": ("graphml", "skeleton.graphml"),
    "GeoJSON": ("geojson", "skeleton.geojson"),
}
LATEST = {"show_progress": "hidden", "trigger_mode": "always_last", "api_visibility": "private"}
NO_FILES = [gr.update(value=None, interactive=False)] * len(DOWNLOADS)
OPENING = Lock()  # one file at a time: decoding takes memory
CSS = """
footer { display: none !important }
#view svg, #view img { width: 100%; height: auto; max-height: 70vh; object-fit: contain;
  background: white; border: 1px solid var(--border-color-primary) }
#branches { overflow: auto; max-height: 24rem }
#branches table { font-size: 0.85rem; width: 100% }
#branches td, #branches th { padding: 0.15rem 0.4rem; text-align: right }
#branches td:nth-child(2) { text-align: left }
#branches td svg { display: inline }
#said { min-height: 1.5em }
.error { color: #b3261e; font-weight: 600 }
.dark .error { color: #ffb4ab }
"""


def canvas_of(picture: str) -> gr.HTML:
    """A picture to draw on, and to open files in; its value is a PNG as a data URL.

    Its value: `picture`, a PNG as a data URL; `said`, what there is to say about the file that it
    came from; `error`, why another file could not be opened. Gradio's own editor needs WebGL: a
    stroke takes half a minute where there is no GPU.
    """
    html, css, js = (
        (HERE / f"canvas.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js")
    )
    return gr.HTML(
        drawing_of(picture),
        html_template=html,
        css_template=css,
        js_on_load=js,
        server_functions=[open_file],
        most_bytes=shapes.MOST_BYTES,
        examples={name: shapes.example(name) for name in shapes.EXAMPLES},
        kinds=",".join(SUFFIXES),
        apply_default_css=False,
        elem_id="canvas",
    )


def build_page() -> gr.Blocks:
    """The page, to be served by `canet.app.server`."""
    with gr.Blocks(title="Skeletons of shapes", fill_width=True) as page:
        gr.Markdown("# Skeletons of shapes\nDraw a shape, drop a file on it, or take an example.")
        with gr.Row():
            method = gr.Dropdown(
                [(NAMES[m], m) for m in METHODS if m != "canet" or HAS_NETWORK],
                value="compact",
                label="Method",
                filterable=False,
                min_width=230,
            )
            tolerance = gr.Slider(
                0.25,
                10,
                value=2,
                step=0.25,
                label="Tolerance, px (compact)",
                min_width=230,
                buttons=[],
            )
            pruned = gr.Slider(
                0,
                4,
                value=0,
                step=0.25,
                label="Prune below, radii",
                min_width=230,
                buttons=[],
            )
            circles = gr.Checkbox(True, label="Radii", min_width=100)
        with gr.Row(equal_height=False):
            with gr.Column(min_width=340):
                canvas = canvas_of(shapes.example("hand"))
                with gr.Row():
                    for name in shapes.EXAMPLES:  # canvas.js listens
                        gr.Button(name, size="sm", min_width=60, elem_id=name)
            with gr.Column(min_width=340):
                said = gr.HTML(
                    elem_id="said", html_template='<div aria-live="polite">${value}</div>'
                )
                picture = gr.HTML(elem_id="view")
                with gr.Row():
                    downloads = [
                        gr.DownloadButton(
                            name, size="sm", min_width=70, interactive=False, elem_id=_id_of(name)
                        )
                        for name in DOWNLOADS
                    ]
                table = gr.HTML(elem_id="branches")
        for slider in (tolerance, pruned):
            _take_any_number(slider)
        switches = [method, tolerance, pruned, circles]
        # one event for all, so that no older result comes after a newer one
        gr.on(
            [page.load, canvas.input, *(switch.change for switch in switches)],
            _see,
            inputs=[canvas, *switches],
            outputs=[said, picture, table, *downloads],
            **LATEST,
        )
        page.unload(_remove_files)
    return page


def _take_any_number(slider: gr.Slider) -> None:
    """Take what stands in the box while somebody types, or nothing, for the nearest number."""
    strict, default = slider.preprocess, slider.value

    def preprocess(number: float | None) -> float:
        number = default if number is None else number
        return strict(min(max(number, slider.minimum), slider.maximum))

    slider.preprocess = preprocess


def drawing_of(picture: str, said: list[str] | None = None) -> dict[str, object]:
    """The canvas' value."""
    return {"picture": picture, "said": said or [], "error": ""}


def open_file(file: tuple[str, str]) -> dict[str, object]:
    """Called by the browser with a file's name and its content as a data URL."""
    name, content = file
    with OPENING:
        try:
            mask, said = shapes.read_mask(name, b64decode(content.partition(",")[2]))
        except UserError as error:
            return {"error": str(error)}
    return drawing_of(shapes.to_picture(mask), said)


def _see(
    request: gr.Request,
    drawing: dict,
    method: str,
    tolerance: float,
    pruned: float,
    circles: bool,
) -> Iterator[tuple]:
    """What to say, the picture and the table; then the buttons, whose files take as long again."""
    error = _error(drawing["error"]) if drawing["error"] else ""
    own = {"tolerance": tolerance} if method == "compact" else {}
    try:
        skeleton = skeletonize(
            shapes.to_mask(drawing["picture"]),
            method=method,
            prune_radii=pruned,
            **own,
        )
    except UserError as problem:
        yield error + _error(str(problem)), "", "", *NO_FILES
        return
    words = view.summary(skeleton) if skeleton.pixels.any() else "Nothing is inside."
    said = "".join(f"<p>{escape(w)}</p>" for w in [*drawing["said"], words])
    shown = view.picture(skeleton, circles=circles), view.table(skeleton)
    yield error + said, *shown, *NO_FILES
    yield *[gr.skip()] * 3, *_buttons(skeleton, _folder_of(request))


def _buttons(skeleton: Skeleton, folder: Path) -> list[dict]:
    """The files to download, which the visitor's next ones replace."""
    for kind in {kind for kind, _ in DOWNLOADS.values()}:
        FORMATS[kind](skeleton, folder)
    return [
        gr.DownloadButton(value=folder / file, interactive=True) for _, file in DOWNLOADS.values()
    ]


def _remove_files(request: gr.Request) -> None:
    """What a visitor has left."""
    shutil.rmtree(_folder_of(request), ignore_errors=True)


def _id_of(download: str) -> str:
    return "download-" + download.lower().replace(", ", "-")


def _folder_of(request: gr.Request) -> Path:
    return Path(os.environ["GRADIO_TEMP_DIR"]) / "downloads" / digest_of(request.session_hash)


def _error(words: str) -> str:
    return f'<p role="alert" class="error">{escape(words)}</p>'
