"""A server on loopback for the file formats of datasets: raw files, zips, and a Hugging Face Hub with LFS redirects.

`Loopback.problems[path]` lists simulated problems for the next requests of a path, one per request, then it responds
normally. The last problem is repeated if `forever` is true. Every wait ends when the server closes.
"""

import gzip
import hashlib
import json
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from bench.files import sha256_bytes

RESOLVE = re.compile(r"^/(datasets/)?(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)$")
PATHS_INFO = re.compile(r"^/api/(?:datasets|models)/(?P<repo>[^/]+/[^/]+)/paths-info/(?P<revision>[^/]+)$")
STORE = "/lfs/"
"""Path of the content store to which the Hub redirects, followed by the sha256."""


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]


Problem = Callable[["Handler", bytes], None]


@dataclass
class Loopback:
    """Content, simulated problems and received requests of a running server."""

    url: str = ""
    store_url: str = ""
    """The same server under another host name, because the Hub redirects to another host."""
    files: dict[str, bytes] = field(default_factory=dict)
    hub: dict[tuple[str, str], dict[str, bytes]] = field(default_factory=dict)
    """(repository, revision) -> path -> content."""
    plain: set[str] = field(default_factory=set)
    """Paths of the Hub that are stored in git instead of LFS."""
    gated: dict[str, str] = field(default_factory=dict)
    """Repository -> token that it needs."""
    stated_sha256: dict[str, str] = field(default_factory=dict)
    """Path of the Hub -> sha256 that the API states, if it differs from the content's."""
    problems: dict[str, list[Problem]] = field(default_factory=lambda: defaultdict(list))
    forever: bool = False
    ranges: bool = True
    requests: list[Request] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def paths(self, method: str = "GET") -> list[str]:
        return [request.path for request in self.requests if request.method == method]

    def add_hub(self, repo: str, revision: str, path: str, content: bytes) -> str:
        """Add a file to the Hub, and return the path of its content in the store."""
        self.hub.setdefault((repo, revision), {})[path] = content
        return STORE + sha256_bytes(content)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    @property
    def loopback(self) -> Loopback:
        return self.server.loopback

    def do_HEAD(self) -> None:
        self._respond()

    def do_GET(self) -> None:
        self._respond()

    def do_POST(self) -> None:
        self._respond()

    def _respond(self) -> None:
        self.close_connection = True
        loopback, path = self.loopback, unquote(urlsplit(self.path).path)
        loopback.requests.append(Request(self.command, path, dict(self.headers)))
        waiting = loopback.problems.get(path) if self.command != "HEAD" else None
        try:
            if waiting:
                (waiting[0] if loopback.forever and len(waiting) == 1 else waiting.pop(0))(
                    self, self._content(path) or b""
                )
            elif match := PATHS_INFO.match(path):
                self._paths_info(match["repo"], match["revision"])
            elif match := RESOLVE.match(path):
                self._resolve(match["repo"], match["revision"], match["path"])
            elif (content := self._content(path)) is None:
                self.send_status(404)
            else:
                self.send_content(content)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def _content(self, path: str) -> bytes | None:
        stored = (content for files in self.loopback.hub.values() for content in files.values())
        if path.startswith(STORE):
            return next((content for content in stored if path == STORE + sha256_bytes(content)), None)
        return self.loopback.files.get(path)

    def end_headers(self) -> None:
        self.send_header("Connection", "close")  # otherwise a client may send its next request to the closed connection
        super().end_headers()

    def send_status(self, code: int, **headers: str) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": "0", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def send_content(self, content: bytes, most: int | None = None, **headers: str) -> None:
        """Send a file, or the requested range of it. `most`: bytes after which the connection closes."""
        range_header = self.headers.get("Range") if self.loopback.ranges else None
        start = int(range_header.removeprefix("bytes=").rstrip("-")) if range_header else 0
        etag = f'"{hashlib.md5(content).hexdigest()}"'
        if self.headers.get("If-Range", etag) != etag:
            start = 0
        if start and start >= len(content):
            self.send_status(416)
            return
        self.send_response(206 if start else 200)
        given = {"Content-Length": str(len(content) - start), "ETag": etag, "Accept-Ranges": "bytes"}
        if start:
            given["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        for name, value in (given | {name.replace("_", "-"): value for name, value in headers.items()}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[start:][:most])

    def _refused(self, repo: str) -> bool:
        token = self.loopback.gated.get(repo)
        if token is None or self.headers.get("Authorization") == f"Bearer {token}":
            return False
        self.send_status(401, X_Error_Code="GatedRepo")
        return True

    def _paths_info(self, repo: str, revision: str) -> None:
        form = parse_qs(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())
        files = self.loopback.hub.get((repo, revision))
        if self._refused(repo):
            return
        if files is None:
            self.send_status(404, X_Error_Code="RevisionNotFound")
            return
        found = []
        for path in form.get("paths", []):
            if path in files:
                content, lfs = files[path], path not in self.loopback.plain
                git = hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
                info = {"type": "file", "path": path, "size": len(content), "oid": "0" * 40 if lfs else git}
                if lfs:
                    oid = self.loopback.stated_sha256.get(path, sha256_bytes(content))
                    info["lfs"] = {"oid": oid, "size": len(content), "pointerSize": 134}
                found.append(info)
        body = json.dumps(found).encode()
        self.send_content(body, Content_Type="application/json")

    def _resolve(self, repo: str, revision: str, path: str) -> None:
        content = self.loopback.hub.get((repo, revision), {}).get(path)
        if self._refused(repo):
            return
        if content is None:
            self.send_status(404, X_Error_Code="EntryNotFound")
            return
        if path in self.loopback.plain:
            self.send_content(content, X_Repo_Commit=revision)
            return
        sha256 = sha256_bytes(content)
        headers = {"X_Linked_ETag": f'"{sha256}"', "X_Linked_Size": str(len(content)), "X_Repo_Commit": revision}
        self.send_status(302, Location=f"{self.loopback.store_url}{STORE}{sha256}", **headers)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def loopback() -> Iterator[Loopback]:
    """Start a server on loopback for the duration of the block."""
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    port = http.server_port
    running = http.loopback = Loopback(f"http://127.0.0.1:{port}", f"http://localhost:{port}")
    thread = threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield running
    finally:
        running.closing.set()
        http.shutdown()
        http.server_close()
        thread.join()


# ---- simulated problems ----------------------------------------------------------------------------------------------


def status(code: int, **headers: str) -> Problem:
    """Respond with a status and without content, such as `status(429, Retry_After="2")`."""
    return lambda handler, _: handler.send_status(code, **headers)


def redirect(location: str) -> Problem:
    return status(302, Location=location)


def close_after(count: int) -> Problem:
    """Close the connection after `count` bytes of the body."""
    return lambda handler, content: handler.send_content(content, count)


def other_content(content: bytes, **headers: str) -> Problem:
    """Send other content."""
    return lambda handler, _: handler.send_content(content, **headers)


def silent(after: int | None = None) -> Problem:
    """Send nothing; with `after`, the header and that many bytes of the body, then nothing."""

    def wait(handler: Handler, content: bytes) -> None:
        if after is not None:
            handler.send_content(content, after)
            handler.wfile.flush()
        handler.loopback.closing.wait(60)

    return wait


def slow(bytes_per_second: float, parts_per_second: float = 10) -> Problem:
    """Send the body at a limited rate."""

    def send(handler: Handler, content: bytes) -> None:
        step = max(1, int(bytes_per_second / parts_per_second))
        range_header = handler.headers.get("Range")
        start = int(range_header.removeprefix("bytes=").rstrip("-")) if range_header else 0
        handler.send_content(content, 0)
        for position in range(start, len(content), step):
            handler.wfile.write(content[position : position + step])
            if handler.loopback.closing.wait(1 / parts_per_second):
                return

    return send


def endless() -> Problem:
    """Send a body of unknown size that does not end."""

    def send(handler: Handler, _: bytes) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not handler.loopback.closing.is_set():
            handler.wfile.write(b"\1" * 65536)

    return send


def length(text: str, **headers: str) -> Problem:
    """State another Content-Length."""
    return lambda handler, content: handler.send_content(content, Content_Length=text, **headers)


def compressed(handler: Handler, content: bytes) -> None:
    """Send the body with gzip encoding, although the client did not ask for it."""
    handler.send_content(gzip.compress(content), Content_Encoding="gzip")


def login_page(handler: Handler, _: bytes) -> None:
    """Send an HTML page with status 200."""
    page = b"<!DOCTYPE html>\n<html><title>Log in</title>\x1b[31m</html>"
    handler.send_content(page, Content_Type="text/html; charset=utf-8")


def raw(response: bytes) -> Problem:
    """Send bytes in place of a status line."""

    def send(handler: Handler, _: bytes) -> None:
        handler.wfile.write(response)

    return send
