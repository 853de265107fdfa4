"""A page to try it: draw or drop a shape, see its skeleton, radii and branches at once.

reads   what is drawn, or dropped: PNG, JPEG, TIFF, BMP, WebP, GIF, NPY
writes  what is downloaded: PNG, SVG, CSV, GraphML, GeoJSON

The page is served on 127.0.0.1 alone; nothing leaves this machine, and files are deleted when they
have been read. It needs Gradio: `bash run.sh app` sets up everything and starts it.

examples:
  python src/app.py
  python src/app.py --port 8000 --no-browser
"""

from canet.app.server import serve
from canet.core import cli
from canet.core.console import UserError
from canet.skeletons.skeletonize import skeletonize


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--port", type=int, metavar="N", help="(default: the first free from 7860)")
    parser.add_argument("--no-browser", action="store_true", help="tell the address, open nothing")
    args = parser.parse_args()
    if args.port is not None and not 1 <= args.port <= 65535:
        raise UserError(f"--port {args.port}: expected 1 to 65535")
    print("== app\n   compiling the geometry (the first time, up to half a minute)", flush=True)
    skeletonize([[0, 1, 1, 1, 0]] * 9)
    serve(args.port, open_browser=not args.no_browser)


if __name__ == "__main__":
    cli.run(main)
