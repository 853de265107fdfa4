"""From content to one HTML file that needs nothing but itself, and its pictures as plain files."""

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jinja2

from canet.core.files import replacing, write_text

TEMPLATES = Path(__file__).resolve().parent
MIME = {".svg": "image/svg+xml", ".png": "image/png"}


@dataclass(frozen=True)
class Picture:
    """One picture of the page: its file name, content, and what it says to who cannot see it."""

    file: str
    content: bytes
    alt: str
    caption: str = ""
    sharp: bool = False

    @property
    def uri(self) -> str:
        return f"data:{MIME[Path(self.file).suffix]};base64,{b64encode(self.content).decode()}"


@dataclass(frozen=True)
class Row:
    """Pictures of one image, with what there is to say about it."""

    title: str
    said: str
    tiles: list[Picture]


def write_report(run: Path, content: dict) -> Path:
    """Write `report.html` and the folder `report/` with its pictures into the run's folder.

    Each appears as a whole or not at all.

    Returns:
        the page.
    """
    text, page = render(content), run / "report.html"
    with replacing(run / "report") as folder:
        folder.mkdir()
        for picture in pictures_in(content):
            (folder / picture.file).write_bytes(picture.content)
    write_text(page, text)
    return page


def render(content: dict) -> str:
    """The page as text; whatever comes from the user's files is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(content)


def pictures_in(value: object) -> Iterator[Picture]:
    """Every picture in nested lists, dicts and rows, in order."""
    if isinstance(value, Picture):
        yield value
    elif isinstance(value, Row):
        yield from value.tiles
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from pictures_in(inner)
