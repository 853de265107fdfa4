"""The page: a shape on the left, its skeleton on the right.

The browser's drawing is the one truth: files and examples become drawings, and every change of it
or of a switch draws the skeleton anew.
"""

import os
import shutil
from base64 import b64decode
from functools import partial
from html import escape
from importlib.util import find_spec
from pathlib import Path

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
ONCE = {"show_progress": "hidden", "api_visibility": "private"}
CSS = """
footer { display: none !important }
#view svg { width: 100%; height: auto; max-height: 70vh; background: white;
  border: 1px solid var(--border-color-primary) }
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

    Its events are `drawn`, with what to say about the file, and `failed`, with why. Gradio's own
    editor needs WebGL: a stroke takes half a minute where there is no GPU.
    """
    html, css, js = (
        (HERE / f"canvas.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js")
    )
    return gr.HTML(
        picture,
        html_template=html,
        css_template=css,
        js_on_load=js,
        server_functions=[open_file],
        most_bytes=shapes.MOST_BYTES,
        kinds=",".join(SUFFIXES),
        apply_default_css=False,
        elem_id="canvas",
    )


def build_page() -> gr.Blocks:
    """The page, to be served by `canet.app.server`."""
    with gr.Blocks(title="Skeletons of shapes", delete_cache=(60, 600), fill_width=True) as page:
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
                    examples = {
                        name: gr.Button(name, size="sm", min_width=60, elem_id=name)
                        for name in shapes.EXAMPLES
                    }
            with gr.Column(min_width=340):
                said = gr.HTML(elem_id="said")
                picture = gr.HTML(elem_id="view")
                with gr.Row():
                    downloads = [
                        gr.DownloadButton(
                            name, size="sm", min_width=70, interactive=False, elem_id=_id_of(name)
                        )
                        for name in DOWNLOADS
                    ]
                table = gr.HTML(elem_id="branches")
        found = gr.State(None, time_to_live=3600)
        note = gr.State("", time_to_live=3600)
        switches = [method, tolerance, pruned, circles]
        seen = [said, picture, table, found]
        changed = gr.on(
            [page.load, *(switch.change for switch in switches)],
            _see,
            inputs=[canvas, note, *switches],
            outputs=seen,
            **LATEST,
        )
        drawn = canvas.drawn(_draw, inputs=[canvas, *switches], outputs=[note, *seen], **LATEST)
        taken = [
            button.click(
                partial(_take_example, name),
                inputs=switches,
                outputs=[canvas, note, *seen],
                **ONCE,
            )
            for name, button in examples.items()
        ]
        for event in (changed, drawn, *taken):
            event.then(_write_files, inputs=found, outputs=downloads, **ONCE)
        canvas.failed(_fail, outputs=said, **ONCE)
        page.unload(_remove_files)
    return page


def open_file(file: tuple[str, str]) -> dict[str, object]:
    """Called by the browser with a file's name and its content as a data URL."""
    name, content = file
    try:
        mask, said = shapes.read_mask(name, b64decode(content.partition(",")[2]))
    except UserError as error:
        return {"error": str(error)}
    return {"picture": shapes.to_picture(mask), "said": said}


def _draw(event: gr.EventData, drawing: str, *switches: object) -> tuple:
    """What there is to say about the file that was opened, nothing about strokes; then `_see`."""
    note = " ".join(f"<p>{escape(words)}</p>" for words in event.said)
    return note, *_see(drawing, note, *switches)


def _take_example(name: str, *switches: object) -> tuple:
    """The example's picture, nothing to say about it, and `_see`."""
    drawing = shapes.example(name)
    return drawing, "", *_see(drawing, "", *switches)


def _fail(event: gr.EventData) -> str:
    return _error(event.error)


def _see(
    drawing: str, note: str, method: str, tolerance: float, pruned: float, circles: bool
) -> tuple[str, str, str, Skeleton | None]:
    """What to say, the picture, the table, and the skeleton itself."""
    try:
        skeleton = skeletonize(
            shapes.to_mask(drawing), method=method, tolerance=tolerance, prune_radii=pruned
        )
    except UserError as error:
        return _error(str(error)), "", "", None
    words = view.summary(skeleton) if skeleton.pixels.any() else "Nothing is inside."
    said = f'{note}<p role="status">{words}</p>'
    return said, view.picture(skeleton, circles=circles), view.table(skeleton), skeleton


def _write_files(skeleton: Skeleton | None, request: gr.Request) -> list[dict]:
    """The files to download, which the visitor's next ones replace."""
    if skeleton is None:
        return [gr.DownloadButton(value=None, interactive=False) for _ in DOWNLOADS]
    folder = _folder_of(request)
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
