"""A real browser for tests, and pages for it from another origin than the service's.

`pytest_plugins = ["tests.browser"]` at the top of a file of tests gives it the fixtures. The browser comes with
`make setup`, as a package like any other. `TEST_CHROMIUM=/usr/bin/chromium` takes another one.
"""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

CLIENTS = Path(__file__).parent / "clients" / "node_modules"
"""What `make setup` installs from npm."""

UNPACKED = CLIENTS / ".chromium"

FLAGS = [
    *("--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
    # Nothing but this machine is there: what asks elsewhere fails at once, here as on a machine without a network.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
]


def chromium() -> tuple[Path, dict[str, str]]:
    """Return where the browser is, and the variables it needs."""
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    if other := os.environ.get("TEST_CHROMIUM"):
        return Path(other), environment
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        pytest.skip("the browser that comes with the tests is for Linux on x86-64; name another one in TEST_CHROMIUM")
    path = UNPACKED / "chromium"
    assert path.exists(), f"there is no {path}; `make setup` puts it there"
    # Libraries and a font that a server may lack come with it.
    libraries = [str(UNPACKED / "al2023" / "lib"), environment.get("LD_LIBRARY_PATH", "")]
    environment["LD_LIBRARY_PATH"] = ":".join(filter(None, libraries))
    environment["FONTCONFIG_PATH"] = str(UNPACKED / "fonts")
    return path, environment


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for the tests of a file.

    Playwright's loop runs in this thread meanwhile, so a file that uses it has no asynchronous tests; and the fixture
    must not outlive the file, whose successor in the same process may have some.
    """
    path, environment = chromium()
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=FLAGS, env=dict(environment))
        yield running
        running.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A visitor: cookies and storage of her own, which her pages share."""
    visitor = browser.new_context()
    visitor.set_default_timeout(15_000)
    yield visitor
    visitor.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """A page of the visitor."""
    return context.new_page()


class Site:
    """Serves texts on this machine by path; `url` names the host differently than the service does its own."""

    def __init__(self) -> None:
        self.files: dict[str, tuple[str, bytes]] = {"/favicon.ico": ("image/x-icon", b"")}
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                type_, body = site.files.get(self.path.partition("?")[0], ("", b""))
                self.send_response(200 if type_ else 404)
                self.send_header("Content-Type", type_ or "text/plain")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self.url = f"http://localhost:{self._server.server_port}"

    def add(self, path: str, body: str | bytes, type_: str = "text/html; charset=utf-8") -> str:
        """Serve a text at a path; return its address."""
        self.files[path] = (type_, body.encode() if isinstance(body, str) else body)
        return self.url + path

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()


@pytest.fixture(scope="session")
def installed() -> Callable[[str], bytes]:
    """Reads a file of a package from npm as it was shipped."""
    return lambda path: (CLIENTS / path).read_bytes()


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Site() as serving:
        yield serving
