"""Downloads from servers that fail, stall, change or send wrong headers never give a wrong file."""

import gzip
import hashlib
import random
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from bench.data import connection
from bench.data import download as downloading
from bench.data.connection import UnavailableError, retry_after
from bench.data.download import download
from bench.data.received import is_text, is_web_page
from bench.errors import InputError
from bench.files import sha256_bytes
from bench.runtime.environment import OFFLINE
from tests.helpers import ROOT
from tests.helpers.loopback import (
    close_after,
    compressed,
    endless,
    length,
    login_page,
    loopback,
    other_content,
    raw,
    redirect,
    silent,
    slow,
    status,
)

CONTENT = np.random.default_rng(0).bytes(300_000)
SHA256 = sha256_bytes(CONTENT)
OTHER = np.random.default_rng(1).bytes(300_000)
FETCH = """
import sys
from pathlib import Path
from bench.data.download import download
download(sys.argv[1], Path(sys.argv[2]), sha256=sys.argv[3])
"""


@pytest.fixture(autouse=True)
def online(monkeypatch):
    monkeypatch.delenv(OFFLINE, raising=False)


@pytest.fixture
def short_timeouts(monkeypatch):
    """Shorten the timeouts. On a loaded machine, a working server may also pause for this time."""
    monkeypatch.setattr(connection, "NOTE_SECONDS", 0.15)
    monkeypatch.setattr(connection, "STALL_SECONDS", 0.5)


@pytest.fixture
def waits(monkeypatch):
    """Return the list of waits between attempts, and skip these waits."""
    found: list[float] = []
    monkeypatch.setattr(connection.time, "sleep", found.append)
    return found


@pytest.fixture
def server():
    with loopback() as running:
        running.files["/a.bin"] = CONTENT
        yield running


def get(server, folder, path: str = "/a.bin", **pins):
    target = folder / "a.bin"
    download(server.url + path, target, **({"sha256": SHA256} | pins))
    return target


def refused(server, folder, message: str, **pins) -> str:
    with pytest.raises(UnavailableError, match=message) as error:
        get(server, folder, **pins)
    text = str(error.value)
    assert "\n" not in text and text.isprintable()
    assert not (folder / "a.bin").exists()
    return text


FOREVER = [
    (other_content(OTHER), "sha256 is .* is expected; the download was deleted"),
    (other_content(OTHER[:1000]), "sha256 is"),
    (login_page, "sent a web page .* install the file manually"),
    (other_content(b"\xef\xbb\xbf \n<!DOCTYPE HTML><p>Sign in"), "sent a web page"),
    (status(404), "404 Not Found; check the address"),
    (status(401), "401 Unauthorized; log in or set the token"),
    (status(500), r"500 Internal Server Error \(4 attempts"),
    (status(599), r"599 \(4 attempts"),
    (status(429, Retry_After="3600"), "fetch it again in 3600 s"),
    (close_after(0), "the connection was closed early"),
    (length("1000"), "sha256 is"),
    (redirect("/a.bin"), "redirects in a loop"),
    (redirect("ftp://127.0.0.1/a.bin"), "redirects to another scheme"),
    (redirect("file:///etc/passwd"), "redirects to another scheme"),
    (redirect("javascript:\x1b[31malert"), "redirects to another scheme"),
    (raw(b"\x1b[31mHTTP/1.1 200 \xff\xfe\r\n\r\n"), "the response is not valid HTTP"),
    (raw(b"HTTP/1.1 200 \x1b[31mOK\r\nContent-Length: 5\r\n\r\nhello"), "sha256 is"),
    (raw(b"HTTP/1.1 418 \x1b]0;title\x07\r\nContent-Length: 0\r\n\r\n"), "418 I'm a Teapot"),
    (raw(b""), "the connection was closed without a response"),
    (redirect("http://[::1/a.bin"), "not valid"),
    (redirect("http://127.0.0.1:99999/a.bin"), "not valid|refused"),
    (redirect("http://"), "not valid|in a loop"),
    (redirect("http://127.0.0.1/\x01 \x7f"), "not valid|refused"),
    (status(204), "204 No Content without a file"),
    (status(206), r"closed early \(4 attempts"),
    (raw(b"HTTP/1.1 206 P\r\nContent-Range: bytes 5-9/10\r\nContent-Length: 5\r\n\r\nhello"), r"closed early \("),
    (raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"), r"closed early \("),
    (raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello"), r"closed early \("),
    (raw(b'HTTP/1.1 200 OK\r\nETag: "a\r\n b"\r\nContent-Length: 9\r\n\r\nhello'), r"closed early \("),
    (raw(b"HTTP/1.1 200 OK\r\n" + 200 * b"X-A: b\r\n" + b"\r\n"), "the response is not valid HTTP"),
]


@pytest.mark.parametrize(("problem", "message"), FOREVER, ids=[f"{index}" for index in range(len(FOREVER))])
def test_a_permanent_problem_gives_a_one_line_error_and_leaves_no_file(tmp_path, server, waits, problem, message):
    server.problems["/a.bin"], server.forever = [problem], True
    text = refused(server, tmp_path, message)
    assert "\x1b" not in text


ONCE = [
    [status(500), status(502), status(503)],
    [status(429, Retry_After="2")],
    [close_after(100_000), close_after(50_000)],
    [length("700000")],
    [length("700000"), status(416)],
    [length("3e5")],
    [length("1_000")],
    [length("-5")],
    [length("+5")],
    [length("9" * 400)],
    [redirect("/b.bin")],
    [compressed],
    [raw(b"nonsense\r\n"), raw(b"")],
]


@pytest.mark.parametrize("problems", ONCE, ids=[f"{index}" for index in range(len(ONCE))])
def test_a_temporary_problem_is_retried(tmp_path, server, waits, problems):
    server.files["/b.bin"] = CONTENT
    server.problems["/a.bin"] = list(problems)
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir() if "lock" not in path.name] == ["a.bin"]


def test_retry_after_is_respected(tmp_path, server, waits, capsys):
    server.problems["/a.bin"] = [status(429, Retry_After="7"), status(503, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT")]
    get(server, tmp_path)
    assert waits == [7.0, 0.0]
    assert "429 Too Many Requests; waiting 7 s as requested by the server" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "soon", "-1", "1e3", "٣"])
def test_an_invalid_retry_after_is_ignored(text):
    assert retry_after({"Retry-After": text}) is None


def test_a_stalled_server_is_reported_before_the_timeout(tmp_path, server, short_timeouts, capsys):
    server.problems["/a.bin"], server.forever = [silent()], True
    refused(server, tmp_path, r"no data for 0\.5 s; check the network")
    message = capsys.readouterr().err
    assert message.count("no data for 0.15 s; waiting 0.35 s more") == 1
    assert len(server.paths()) == 1, "the next source is used without further attempts"


def test_a_stalled_download_is_retried_once(tmp_path, server, short_timeouts, waits):
    server.problems["/a.bin"], server.forever, server.ranges = [silent(50_000)], True, False
    refused(server, tmp_path, r"no (data for|response within) 0\.5 s")
    assert len(server.paths()) == 2


def test_a_download_resumes_after_a_stalled_connection(tmp_path, server, monkeypatch, waits):
    monkeypatch.setattr(connection, "STALL_SECONDS", 2.0)
    server.problems["/a.bin"] = [silent(50_000)]
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert server.requests[-1].headers["Range"] == "bytes=50000-"


def test_an_endless_header_times_out(tmp_path, server, short_timeouts, monkeypatch):
    def send_endless_header(handler, _):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-A: ")
        while not handler.loopback.closing.wait(0.1):
            handler.wfile.write(b"a")

    server.problems["/a.bin"], server.forever = [send_endless_header], True
    refused(server, tmp_path, r"no (data for|response within) 0\.5 s")


def test_a_slow_download_shows_progress(tmp_path, server, monkeypatch, capsys):
    monkeypatch.setattr(downloading, "PROGRESS_SECONDS", 0.1)
    server.files["/a.bin"] = content = CONTENT[:1600]
    server.problems["/a.bin"] = [slow(1000)]
    get(server, tmp_path, sha256=sha256_bytes(content))
    message = capsys.readouterr().err
    assert "a.bin:" in message and "B/s" in message


def test_a_killed_download_keeps_its_bytes_and_resumes(tmp_path, server):
    server.files["/a.bin"] = content = CONTENT[:5000]
    server.problems["/a.bin"], server.forever = [slow(5000)], True
    line = [sys.executable, "-c", FETCH, f"{server.url}/a.bin", str(tmp_path / "a.bin"), sha256_bytes(content)]
    partial = tmp_path / ".a.bin.partial"
    with subprocess.Popen(line, cwd=ROOT) as child:
        while not partial.exists() or partial.stat().st_size < 1000:
            assert child.poll() is None
            time.sleep(0.02)
        child.kill()
    have = partial.stat().st_size
    server.problems.clear()
    get(server, tmp_path, sha256=sha256_bytes(content))
    assert server.requests[-1].headers["Range"] == f"bytes={have}-"
    assert (tmp_path / "a.bin").read_bytes() == content


def test_a_short_body_without_checksum_is_refused(tmp_path, server, waits):
    server.problems["/a.bin"], server.forever = [length("700000")], True
    refused(server, tmp_path, "the connection was closed early|416", sha256=None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b'{"error": "quota exceeded"}\n', r"sent text, such as an error message, instead of a \.zip file"),
        (b"PK\3\4" + bytes(100), "damaged archive"),
        (gzip.compress(b"<html>Log in</html>", mtime=0), "web page|text|neither"),
    ],
)
def test_a_wrong_file_without_a_checksum_is_refused(tmp_path, server, waits, content, message):
    server.files["/a.zip"] = content
    server.problems["/a.zip"] = [
        other_content(content, **({"Content_Encoding": "gzip"} if content[:2] == b"\x1f\x8b" else {}))
    ]
    with pytest.raises(UnavailableError, match=message):
        download(f"{server.url}/a.zip", tmp_path / "a.zip", sha256=None)
    assert not list(tmp_path.glob("*.zip"))


def test_short_reads_are_combined(tmp_path, server, waits):
    def part(handler, content):
        start = int(handler.headers["Range"].removeprefix("bytes=").rstrip("-"))
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes {start}-{start + 999}/{len(content)}")
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(content[start : start + 1000])

    server.problems["/a.bin"] = [close_after(1000), *10 * [part]]
    assert get(server, tmp_path).read_bytes() == CONTENT


def test_a_connection_that_is_never_accepted_times_out(tmp_path, server, short_timeouts, monkeypatch, waits):
    def time_out(*_, **__):
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", time_out)
    refused(server, tmp_path, r"no (data for|response within) 0\.5 s")
    assert not waits, "the next source is used without further attempts"


def test_an_endless_body_of_unknown_size_has_a_stated_limit(tmp_path, server, monkeypatch):
    monkeypatch.setattr(downloading, "MAX_UNKNOWN_BYTES", 1_000_000)
    server.problems["/a.bin"], server.forever = [endless()], True
    refused(server, tmp_path, "sends more than 0.001 GB without stating a size.* set its `bytes`")
    assert not (tmp_path / ".a.bin.partial").exists()
    refused(server, tmp_path, "sends more than the expected 300000 bytes", size=300_000)


def test_a_size_that_differs_from_the_catalogue_is_refused_before_the_download(tmp_path, server, waits):
    refused(server, tmp_path, "the server reports 300000 bytes, but 5 are expected", size=5)
    assert not (tmp_path / ".a.bin.partial").exists()


def test_a_redirect_to_https_is_allowed_and_from_https_to_http_is_not():
    handler = connection._Redirects()
    request = SimpleNamespace(full_url="https://host/a")
    with pytest.raises(UnavailableError, match="from https to http"):
        handler.http_error_302(request, None, 302, "", {"location": "http://host/a"})


def test_a_content_encoding_header_of_an_archive_is_harmless(tmp_path, server, waits):
    """Servers label .tgz files as gzip-encoded, although the archive itself is the content."""
    packed = gzip.compress(CONTENT)
    server.files["/a.bin"] = packed
    server.problems["/a.bin"] = [other_content(packed, Content_Encoding="x-gzip")]
    assert get(server, tmp_path, sha256=sha256_bytes(packed), size=len(packed)).read_bytes() == packed


def test_compressed_content_is_limited(tmp_path, server, waits, monkeypatch):
    monkeypatch.setattr(downloading, "MAX_UNKNOWN_BYTES", 1_000_000)
    server.files["/a.bin"] = bytes(3_000_000)
    server.problems["/a.bin"], server.forever = [compressed], True
    refused(server, tmp_path, r"a\.bin: decompresses to more than 0\.001 GB")
    assert not list(tmp_path.glob(".*.partial*"))


@pytest.mark.parametrize("ranges", [True, False])
def test_a_version_that_changes_during_the_download_is_never_mixed(tmp_path, server, waits, ranges):
    """Without a checksum, only the version of the server shows the change."""
    server.ranges = ranges

    def change(handler, content):
        handler.send_content(content, 100_000)
        server.files["/a.bin"] = OTHER

    server.problems["/a.bin"] = [change]
    assert get(server, tmp_path, sha256=None).read_bytes() == OTHER


def test_changed_content_under_the_same_address_is_refused(tmp_path, server):
    get(server, tmp_path)
    (tmp_path / "a.bin").unlink()
    server.files["/a.bin"] = OTHER
    refused(server, tmp_path, f"sha256 is {sha256_bytes(OTHER)}, but {SHA256} is expected")
    refused(server, tmp_path, "md5 is", sha256=None, md5=hashlib.md5(CONTENT).hexdigest())


def test_eight_simultaneous_downloads_transfer_the_file_once(tmp_path, server):
    server.problems["/a.bin"] = [slow(1_000_000)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: get(server, tmp_path), range(8)))
    assert len(server.paths()) == 1
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_no_wrong_file_and_the_next_download_resumes(tmp_path, server):
    line = [sys.executable, "-c", FETCH, f"{server.url}/a.bin", str(tmp_path / "a.bin"), SHA256]
    moments = random.Random(0)
    server.problems["/a.bin"], server.forever = [slow(600_000, 50)], True
    done = 0
    for _ in range(20):
        with subprocess.Popen(line, cwd=ROOT, stderr=subprocess.DEVNULL) as child:
            count = len(server.requests)
            while len(server.requests) == count and child.poll() is None:
                time.sleep(0.005)
            time.sleep(moments.random() * 0.05)
            child.send_signal(signal.SIGKILL)
        if (tmp_path / "a.bin").exists():
            assert (tmp_path / "a.bin").read_bytes() == CONTENT
            (tmp_path / "a.bin").unlink()
            done += 1
    server.problems.clear()
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert any("Range" in request.headers for request in server.requests)


def test_a_full_disk_does_not_cause_a_download_from_another_source(tmp_path, server, monkeypatch):
    monkeypatch.setattr(downloading.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(InputError, match="the download needs 300000 bytes") as error:
        get(server, tmp_path)
    assert not isinstance(error.value, UnavailableError)


@pytest.mark.parametrize(
    ("start", "text", "page"),
    [
        (b"<!DOCTYPE html>", True, True),
        (b"\xef\xbb\xbf\n <HTML lang='de'>", True, True),
        (b"Too many requests\n", True, False),
        ("Zugriff verweigert: \u00fc".encode()[:-1], True, False),
        (b"PK\3\4", False, False),
        (b"\x89PNG\r\n\x1a\n", False, False),
    ],
)
def test_text_and_web_pages_are_recognised(start, text, page):
    assert (is_text(start), is_web_page(start)) == (text, page)
