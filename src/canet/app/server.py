"""The page served on this machine, and to nobody else."""

import os
import tempfile
import threading

from canet.app.shapes import MOST_BYTES
from canet.core import cli
from canet.core.console import UserError

HOST = "127.0.0.1"
MOST_BODY = 2 * MOST_BYTES  # of a request: a file as text
FILES = "/gradio_api/file="
# Nothing is loaded from elsewhere or told elsewhere, whatever a library's next version would like.
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; "
    "font-src 'self' data:; style-src 'self' 'unsafe-inline'; worker-src 'self' blob:; "
    "script-src 'self' 'unsafe-inline' 'unsafe-eval'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class _Guarded:
    """Adds `HEADERS` to every answer, and refuses what the page itself would not ask for.

    Another site's page in the same browser could otherwise call the server, or reach it by a name
    of its own.
    """

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http" and (refused := _refused(scope)):
            await send({"type": "http.response.start", "status": refused, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return

        async def send_with_headers(message):
            if message["type"] == "http.response.start":
                own = dict(HEADERS)
                if scope["path"].startswith(FILES):  # new ones come under the names of the old
                    own["Cache-Control"] = "no-store"
                told = [(k.lower().encode(), v.encode()) for k, v in own.items()]
                message["headers"] = [*message["headers"], *told]
            await send(message)

        await self.app(scope, receive, send_with_headers)


def _refused(scope: dict) -> int | None:
    """The status to refuse a request with; None: it is the page's."""
    told = {name.decode().lower(): value.decode("latin-1") for name, value in scope["headers"]}
    host, own = told.get("host", ""), (HOST, "localhost")
    if host.partition(":")[0] not in own:
        return 421
    if told.get("origin", f"http://{host}") != f"http://{host}":
        return 403
    size = told.get("content-length", "0")
    return 413 if not size.isdecimal() or int(size) > MOST_BODY else None


def serve(port: int | None, *, open_browser: bool) -> None:
    """Serve the page until it is interrupted; uploads and downloads live no longer.

    Args:
        port: None: the first free one from 7860.
        open_browser: show it in the default browser.

    Raises:
        UserError: Gradio is missing, or the port is taken.
    """
    with tempfile.TemporaryDirectory(prefix="canet-app-") as folder:
        # before Gradio is imported: where it keeps files, that it tells nobody of its use, and asks
        # no proxy for this machine
        os.environ |= {"GRADIO_TEMP_DIR": folder, "GRADIO_ANALYTICS_ENABLED": "False"}
        for name in ("NO_PROXY", "no_proxy"):
            os.environ[name] = ",".join([*filter(None, [os.environ.get(name)]), HOST, "localhost"])
        try:
            import gradio as gr
            from starlette.middleware import Middleware
        except ModuleNotFoundError:
            raise UserError("gradio is missing; pip install '.[app]', or bash run.sh app") from None
        from canet.app.page import CSS, build_page

        try:
            _, url, _ = build_page().launch(
                server_name=HOST,
                server_port=port,
                inbrowser=open_browser,
                prevent_thread_lock=True,
                quiet=True,
                share=False,
                ssr_mode=False,
                mcp_server=False,
                run_history=False,
                enable_monitoring=False,
                max_file_size=0,  # the page has its own way
                state_session_capacity=20,
                footer_links=[],
                theme=gr.themes.Default(
                    font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
                ),
                css=CSS,
                app_kwargs={"middleware": [Middleware(_Guarded)]},
            )
        except OSError as error:
            where = f"--port {port}: " if port else ""
            raise UserError(f"{where}{str(error).splitlines()[0]}") from None
        print(f"   {url}    Ctrl-C ends it", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            cli.interruption_is_heard()
            print("\nended")
