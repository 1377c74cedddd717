"""Helpers of the data tests: a small project with a catalogue, images, and a web server with simulated failures."""

import io
import tarfile
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

ENTRY = {"title": "a test set", "task": "fewshot", "licence": "none", "role": "test"}


def make_project(root: Path, **datasets: dict) -> Path:
    """Create a project with a catalogue of `datasets`, each based on ENTRY; underscores in names become hyphens."""
    (root / "config").mkdir(parents=True)
    (root / "data/sources").mkdir(parents=True)
    entries = {name.replace("_", "-"): ENTRY | entry for name, entry in datasets.items()}
    (root / "config/datasets.yaml").write_text(yaml.safe_dump({"datasets": entries, "weights": {}}))
    return root


def random_image(width: int = 16, height: int = 16, seed: int = 0, mode: str = "RGB") -> Image.Image:
    channels = len(Image.new(mode, (1, 1)).getbands())
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return Image.fromarray(pixels.squeeze(-1) if channels == 1 else pixels, mode=None if mode != "LA" else "LA")


def image_folder(folder: Path, count: int = 3, size: tuple[int, int] = (16, 16)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        random_image(*size, seed=index).save(folder / f"{index}.png")
    return folder


def tar_bytes(members: dict[str, bytes], mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


class Server:
    """Content, simulated failures and received requests of a server."""

    def __init__(self, url: str, data: bytes) -> None:
        self.url, self.data = url, data
        self.break_after: list[int] = []
        """One entry per truncated response: the number of body bytes before the connection closes."""
        self.status = 200
        self.ranges = True
        self.requests: list[str | None] = []
        """The Range header of each request."""


@contextmanager
def serve(data: bytes):
    """Start a server on loopback that returns `data` for every path."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(server.data)))
            self.send_header("ETag", '"1"')
            self.end_headers()

        def do_GET(self) -> None:
            range_header = self.headers.get("Range")
            server.requests.append(range_header)
            if server.status != 200:
                self.send_error(server.status)
                return
            start = int(range_header.removeprefix("bytes=").rstrip("-")) if range_header and server.ranges else 0
            if start > len(server.data):
                self.send_error(416)
                return
            body = server.data[start:]
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(server.data) - 1}/{len(server.data)}")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", '"1"')
            self.end_headers()
            self.wfile.write(body[: server.break_after.pop(0)] if server.break_after else body)

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = Server(f"http://127.0.0.1:{http.server_port}", data)
    thread = threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
