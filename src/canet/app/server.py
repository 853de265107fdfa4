"""The page served on this machine, and to nobody else."""

import os
import tempfile

from canet.core.console import UserError

HOST = "127.0.0.1"
# Nothing is loaded from elsewhere or told elsewhere, whatever a library's next version would like.
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; "
    "font-src 'self' data:; style-src 'self' 'unsafe-inline'; worker-src 'self' blob:; "
    "script-src 'self' 'unsafe-inline' 'unsafe-eval'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class _WithHeaders:
    """Adds `HEADERS` to every answer."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        async def send_with_headers(message):
            if message["type"] == "http.response.start":
                own = [(k.lower().encode(), v.encode()) for k, v in HEADERS.items()]
                message["headers"] = [*message["headers"], *own]
            await send(message)

        await self.app(scope, receive, send_with_headers)


def serve(port: int | None, *, open_browser: bool) -> None:
    """Serve the page until it is interrupted; uploads and downloads live no longer.

    Args:
        port: None: the first free one from 7860.
        open_browser: show it in the default browser.

    Raises:
        UserError: Gradio is missing, or the port is taken.
    """
    with tempfile.TemporaryDirectory(prefix="canet-app-") as folder:
        # before Gradio is imported: where it keeps files, and that it tells nobody of its use
        os.environ |= {"GRADIO_TEMP_DIR": folder, "GRADIO_ANALYTICS_ENABLED": "False"}
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
                footer_links=[],
                theme=gr.themes.Default(
                    font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
                ),
                css=CSS,
                app_kwargs={"middleware": [Middleware(_WithHeaders)]},
            )
        except OSError as error:
            raise UserError(f"--port {port}: {str(error).splitlines()[0]}") from None
        print(f"   {url}    Ctrl-C ends it", flush=True)
        try:
            wait_for_ever()
        except KeyboardInterrupt:
            print("\nended")


def wait_for_ever() -> None:
    """Until a signal comes."""
    import threading

    threading.Event().wait()
