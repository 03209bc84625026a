"""A server on the loopback address that answers as well, or as badly, as a test asks for."""

from __future__ import annotations

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Site:
    """Files by path, and what goes wrong with them.

    Attributes:
        files: Content by path.
        ranges: Whether parts may be asked for.
        breaks: Bytes after which each answer breaks off, by path; taken from the front, one an answer.
        asked: (path, Range header or None) of every request.
        gate: Answers to a path in `slow` wait here after their first bytes.
    """

    def __init__(self):
        self.files, self.breaks, self.asked, self.ranges = {}, {}, [], True
        self.slow, self.gate, self.address = set(), threading.Event(), ""


class _Answer(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        site, span = self.server.site, self.headers.get("Range")
        site.asked.append((self.path, span))
        content = site.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        begin = int(re.fullmatch(r"bytes=(\d+)-", span)[1]) if span and site.ranges else 0
        if begin and begin >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - begin))
        self.end_headers()
        content = content[begin:]
        if self.path in site.slow:
            self.wfile.write(content[:1000])
            self.wfile.flush()
            site.gate.wait(30)
            content = content[1000:]
        breaks = site.breaks.get(self.path, [])
        self.wfile.write(content[: breaks.pop(0)] if breaks else content)
        self.close_connection = True


@pytest.fixture
def site(monkeypatch):
    """A `Site` that is served at its `address`."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answer)
    server.site = site = Site()
    site.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield site
    site.gate.set()
    server.shutdown()
    server.server_close()
    thread.join()
