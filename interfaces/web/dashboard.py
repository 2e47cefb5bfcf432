"""The dashboard: one page, which asks the API with a key that the person types in."""

from importlib.resources import files

from litestar import Controller, Response, get

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def _static(name: str, media_type: str) -> Response[bytes]:
    content = files("interfaces.web").joinpath("static", name).read_bytes()
    headers = {
        "Content-Security-Policy": POLICY,
        "Cache-Control": "no-cache",
        "Referrer-Policy": "no-referrer",
    }
    return Response(content, media_type=f"{media_type}; charset=utf-8", headers=headers)


class DashboardController(Controller):
    path = "/"
    include_in_schema = False
    tags = ("dashboard",)

    @get("/", sync_to_thread=False)
    def page(self) -> Response[bytes]:
        return _static("index.html", "text/html")

    @get("/dashboard.css", sync_to_thread=False)
    def style(self) -> Response[bytes]:
        return _static("dashboard.css", "text/css")

    @get("/dashboard.js", sync_to_thread=False)
    def script(self) -> Response[bytes]:
        return _static("dashboard.js", "text/javascript")
