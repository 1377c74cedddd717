"""The ten one-shot images of the paper with a fixed source, from download to page, at tiny scale.

The images are not shipped, because their publishers state no licence. ONESHOT_IMAGES names a folder with
them; without it the test is skipped (`make test-images IMAGES=FOLDER`). A loopback server replaces the git hosts.
"""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bench.data.audit_record import audit_path, read_audit
from bench.data.catalogue import load_catalogue
from tests.helpers import ROOT

NAMES = (
    "angkorwat",
    "balloons",
    "birds",
    "colusseum",
    "cows",
    "mountains",
    "starry-night",
    "tree",
    "volacano",
    "zebra",
)
FOLDER = Path(os.environ.get("ONESHOT_IMAGES", ""))
HOST = "https://raw.githubusercontent.com"
SUITE = """\
description: "the one-shot images of the paper with a fixed source"
scale: tiny
runs:
  - scales: [tiny]
    experiments: [singan-slim]
    datasets: [{}]
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.environ.get("ONESHOT_IMAGES"), reason="ONESHOT_IMAGES is not set"),
]


@contextmanager
def serve_folder(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve every file of `folder` at any path that ends in its name. Yield the address and the requested paths."""
    requested: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requested.append(self.path)
            file = folder / Path(self.path).name
            body = file.read_bytes() if file.is_file() else b""
            self.send_response(200 if body else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requested
    finally:
        server.shutdown()
        server.server_close()


def test_one_shot_images_are_downloaded_prepared_and_shown_on_the_page(fresh_copy):
    datasets = [f"singan-{name}" for name in NAMES]
    catalogue = fresh_copy.path / "config/datasets.yaml"
    (fresh_copy.path / "config/suites/images.yaml").write_text(SUITE.format(", ".join(datasets)))
    with serve_folder(FOLDER) as (address, requested):
        catalogue.write_text(catalogue.read_text().replace(HOST, address))
        result = fresh_copy.snakemake("images", "--cores", "2", SLIM_BENCH_OFFLINE="0")
    assert result.returncode == 0, result.stdout[-8000:] + result.stderr[-8000:]
    assert len(requested) == len(set(requested)) == len(datasets)
    known = load_catalogue(ROOT).datasets
    for name in datasets:
        receipt = json.loads((fresh_copy.path / f"data/sources/{name}.json").read_text())
        assert receipt["files"][0]["sha256"] == known[name].sources[0].files[0].sha256
        record = read_audit(audit_path(fresh_copy.path / f"data/prepared/{name}-full"))
        assert (record.images, record.errors, record.failure) == ({"images": 1}, 0, None)
        run = fresh_copy.path / f"results/tiny/runs/singan-slim/{name}/seed0"
        assert json.loads((run / "model.json").read_text())["status"] == "ok"
        for metric in ("ssim_reconstruction", "diversity"):
            assert json.loads((run / f"scores/{metric}.json").read_text())["status"] == "ok"
    page = (fresh_copy.path / "results/tiny/report/index.html").read_text()
    assert all(f'id="data-{name}"' in page for name in datasets)
    assert all(page.count(f'alt="images of {name}"') == 1 for name in datasets)
