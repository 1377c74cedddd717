"""HTTP requests that cannot hang, follow only safe redirects, and describe every problem in one line.

A server that sends nothing is reported after NOTE_SECONDS, and its connection is closed after STALL_SECONDS. Messages
contain no text from the server, because such text may contain control characters. The variables http_proxy, https_proxy
and no_proxy set the proxies.
"""

import http.client
import socket
import ssl
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import urlsplit

from bench.errors import InputError

NOTE_SECONDS, STALL_SECONDS = 10.0, 30.0
"""Seconds without data after which a message is printed, and after which the connection is closed."""
ATTEMPTS = 4
"""Maximum number of attempts without progress after problems that may be temporary."""
MAX_WAIT_SECONDS = 60.0
"""Longest wait in seconds that a server may request (Retry-After). For a longer wait, the next source is used."""
MAX_REDIRECTS = 10
DEFAULT_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "slim-bench"}


class UnavailableError(InputError):
    """A source does not provide a file. Another source may work."""


class Watch:
    """Context manager that reports and closes a connection without incoming data. `beat` records that data arrived."""

    def __init__(self, url: str):
        self.url, self.stalled = url, False
        self.socket: socket.socket | None = None
        self._last, self._ended = time.monotonic(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def beat(self) -> None:
        self._last = time.monotonic()

    def __enter__(self) -> Self:
        self.beat()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        noted = 0.0
        while not self._ended.wait(min(0.25, NOTE_SECONDS / 4)):
            last = self._last
            silent = time.monotonic() - last
            if silent >= NOTE_SECONDS and noted != last:
                noted = last
                left = STALL_SECONDS - NOTE_SECONDS
                print(
                    f"{self.url}: no data for {NOTE_SECONDS:g} s; waiting {left:g} s more", file=sys.stderr, flush=True
                )
            if silent >= STALL_SECONDS:
                self.stalled = True
                if self.socket is not None:
                    with suppress(OSError):
                        self.socket.shutdown(socket.SHUT_RDWR)
                return


class Attempts:
    """Counts the failed attempts for one URL, and waits between them."""

    def __init__(self, url: str, kept: str = ""):
        self.url, self.kept, self.failures = url, kept, 0

    def failed(self, reason: str, wait: float | None = None, progress: bool = False) -> None:
        """Wait before the next attempt. Raises UnavailableError after the last attempt, or if `wait` is too long."""
        self.failures = 1 if progress else self.failures + 1
        if self.failures >= ATTEMPTS:
            raise UnavailableError(f"{self.url}: {reason} ({ATTEMPTS} attempts{self.kept})")
        if wait is not None and wait > MAX_WAIT_SECONDS:
            raise UnavailableError(f"{self.url}: {reason}; fetch it again in {wait:.0f} s, as the server requests")
        if wait:
            print(f"{self.url}: {reason}; waiting {wait:.0f} s as requested by the server", file=sys.stderr, flush=True)
        time.sleep(0.5 * 2 ** (self.failures - 1) if wait is None else wait)


@contextmanager
def open_url(url: str, headers: Mapping[str, str], watch: Watch) -> Iterator[Any]:
    """Open `url` and yield the response. The content of the response is not decoded."""
    request = urllib.request.Request(url, headers={**DEFAULT_HEADERS, **headers})
    handlers = (_Plain(watch), _Secure(watch), _Redirects())
    with urllib.request.build_opener(*handlers).open(request, timeout=STALL_SECONDS) as response:
        yield response


def _watched(kind: type[http.client.HTTPConnection], watch: Watch) -> type[http.client.HTTPConnection]:
    class Connection(kind):  # type: ignore[misc, valid-type]
        def connect(self) -> None:
            super().connect()
            watch.socket = self.sock

    return Connection


class _Plain(urllib.request.HTTPHandler):
    def __init__(self, watch: Watch):
        super().__init__()
        self._watch = watch

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_watched(http.client.HTTPConnection, self._watch), req)


class _Secure(urllib.request.HTTPSHandler):
    def __init__(self, watch: Watch):
        super().__init__()
        self._watch = watch

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        kind = _watched(http.client.HTTPSConnection, self._watch)
        return self.do_open(kind, req, context=ssl.create_default_context())


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to the same scheme or to https, and sends credentials only to the first host."""

    max_redirections, max_repeats = MAX_REDIRECTS, 2

    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
        scheme = urlsplit(headers.get("location") or headers.get("uri") or "").scheme.lower()
        if scheme not in ("", "https", urlsplit(req.full_url).scheme):
            raise UnavailableError(
                f"{req.full_url}: redirects to another scheme than http or https, or from https to http; use the "
                "address that it redirects to, if you trust it"
            )
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        redirected = super().redirect_request(req, fp, code, msg, headers, newurl)
        if redirected is not None and urlsplit(newurl).netloc != urlsplit(req.full_url).netloc:
            redirected.headers.pop("Authorization", None)
        return redirected


def status_text(code: int) -> str:
    """Return the code of an HTTP status with its standard name, because a server's own text may contain anything."""
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)


def is_timeout(error: BaseException) -> bool:
    return isinstance(getattr(error, "reason", error), TimeoutError)


def connection_problem(error: BaseException) -> str:
    """Return the problem of a connection as text, without any text from the server."""
    reason = getattr(error, "reason", error)
    if is_timeout(error):
        return f"no response within {STALL_SECONDS:g} s"
    if isinstance(reason, ssl.SSLError):
        detail = (reason.reason or "error").replace("_", " ").lower()
        return f"TLS failed ({detail}; check SSL_CERT_FILE and the proxy settings)"
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror
    if isinstance(reason, http.client.InvalidURL | str):
        return "the address is not valid"
    if isinstance(reason, http.client.IncompleteRead):
        return "the connection was closed early"
    if isinstance(reason, http.client.RemoteDisconnected):
        return "the connection was closed without a response"
    if isinstance(reason, http.client.HTTPException):
        return "the response is not valid HTTP"
    return type(reason).__name__


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds in the header Retry-After (a number or date), or None if the header is missing or invalid."""
    given = (headers.get("Retry-After") or "").strip()
    if given.isascii() and given.isdigit():
        return float(given[:9])
    try:
        date = parsedate_to_datetime(given)
    except ValueError:
        return None
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())


def content_length(response: Any) -> int | None:
    """Return the header Content-Length of a response, or None if the header is missing, repeated or invalid."""
    if response.chunked:
        return None
    given = set(response.headers.get_all("Content-Length") or ())
    text = given.pop().strip() if len(given) == 1 else ""
    if text.isascii() and text.isdigit() and len(text) <= 16:
        return int(text)
    response.length = None  # http.client also accepts 1_000 and +5
    return None
