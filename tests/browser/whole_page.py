"""The whole page with its styles in a browser, on given answers instead of a server."""

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from tests.browser.answer_scripts import served

STYLES = [*(f"styles/{name}" for name in ("tokens", "base", "parts", "data", "audit")), "vendor/uPlot.min"]


def whole_page(session: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """The page, signed in so, as a script for `run_in_page`; `given`: path -> [status, body]."""
    written = msgspec.json.encode(dict(given) | {"/api/session": (200, session)}).decode()
    return served(f"""
      history.replaceState(null, "", location.pathname);
      window.EventSource = class extends EventTarget {{ close() {{}} }};
      Object.assign(answers, {written});
      document.documentElement.lang = "en";
      document.head.innerHTML = '<meta name="viewport" content="width=device-width">';
      document.querySelector("pre")?.remove();
      main.id = "app";
      main.outerHTML = '<div id="app"></div>';
      const loaded = (one) => new Promise((done) => (one.onload = done, document.head.append(one)));
      const styles = {json.dumps(STYLES)}.map((name) =>
        loaded(Object.assign(document.createElement("link"), {{ rel: "stylesheet", href: `/static/${{name}}.css` }})));
      const plot = Object.assign(document.createElement("script"), {{ src: "/static/vendor/uPlot.iife.min.js" }});
      await Promise.all([...styles, loaded(plot)]);
      await import("/static/theme.js");
      await import("/static/app.js");
    """)
