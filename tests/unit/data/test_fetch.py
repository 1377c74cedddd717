"""Download of datasets: DVC pulls of shipped sets, downloads from a loopback server, checksums, pins, receipts."""

import hashlib
import os
import shutil
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bench.data import connection
from bench.data import download as downloading
from bench.data.catalogue import load_catalogue
from bench.data.dvc import run_dvc
from bench.data.fetch import fetch, source_files
from bench.data.pointers import pointer_of
from bench.data.receipts import receipt_path
from bench.data.sources import DataSettings
from bench.data.weights import fetch_weights
from bench.errors import InputError
from bench.files import read_json, read_yaml, sha256_bytes
from tests.helpers import ROOT
from tests.helpers.data_project import image_folder, make_project, serve
from tests.helpers.full_disk import mounted

FETCH = """
import sys
from bench.data.fetch import fetch
from bench.errors import InputError
try:
    fetch(sys.argv[1])
except InputError as error:
    sys.exit(str(error))
"""
DATA = np.random.default_rng(0).bytes(700_000)
SHA256, MD5 = sha256_bytes(DATA), hashlib.md5(DATA).hexdigest()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(connection.time, "sleep", lambda _: None)
    monkeypatch.delenv(downloading.OFFLINE, raising=False)


@pytest.fixture
def server():
    with serve(DATA) as running:
        yield running


def project(root: Path, server, **pins) -> Path:
    file = {"name": "a.zip", "url": f"{server.url}/a.zip"} | pins
    return make_project(root, a={"source": {"kind": "download", "files": [file]}})


@pytest.mark.parametrize("pins", [{"sha256": SHA256}, {"md5": MD5}, {"sha256": SHA256, "md5": MD5, "bytes": len(DATA)}])
def test_download_is_checked_and_recorded(tmp_path, server, pins):
    root = project(tmp_path, server, **pins)
    receipt = fetch("a", root)
    assert (root / "data/sources/a.zip").read_bytes() == DATA
    (entry,) = read_json(receipt)["files"]
    assert entry["sha256"] == SHA256
    assert [path.name for path in (root / "data/sources").glob(".*.partial")] == []
    before = receipt.stat().st_mtime_ns
    fetch("a", root)
    assert len(server.requests) == 1, "a valid file is not downloaded again"
    assert receipt.stat().st_mtime_ns == before, "an unchanged receipt is not rewritten"


@pytest.mark.parametrize(
    ("pins", "message"),
    [
        ({"sha256": "0" * 64}, "sha256 is"),
        ({"md5": "0" * 32}, "md5 is"),
        ({"sha256": SHA256, "bytes": 5}, "reports 7"),
    ],
)
def test_wrong_content_is_refused_and_deleted(tmp_path, server, pins, message):
    root = project(tmp_path, server, **pins)
    with pytest.raises(InputError, match=message) as error:
        fetch("a", root)
    assert server.url in str(error.value)
    assert "\n" not in str(error.value)
    assert not (root / "data/sources/a.zip").exists()
    assert not (root / receipt_path("a")).exists()


def test_a_download_that_does_not_fit_the_disk_is_refused_first(tmp_path, server, monkeypatch):
    monkeypatch.setattr(downloading.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    root = project(tmp_path, server, sha256=SHA256)
    with pytest.raises(InputError, match=r"a\.zip: the download needs 700000 bytes, but 1000 bytes are free in"):
        fetch("a", root)
    assert list((root / "data/sources").glob(".*.partial")) == []


def test_status_404_is_one_error_without_retry(tmp_path, server):
    server.status = 404
    with pytest.raises(InputError, match=r"/a\.zip: 404 "):
        fetch("a", project(tmp_path, server, sha256=SHA256))
    assert len(server.requests) == 1


def test_failing_server_is_retried_then_reported(tmp_path, server):
    server.status = 503
    with pytest.raises(InputError, match=r"503 .*4 attempts"):
        fetch("a", project(tmp_path, server, sha256=SHA256))
    assert len(server.requests) == connection.ATTEMPTS


def test_broken_connection_is_resumed(tmp_path, server):
    server.break_after = [300_000, 100_000]
    root = project(tmp_path, server, sha256=SHA256)
    fetch("a", root)
    assert server.requests == [None, "bytes=300000-", "bytes=400000-"]
    assert (root / "data/sources/a.zip").read_bytes() == DATA


def test_next_fetch_resumes_a_partial_download(tmp_path, server):
    server.break_after = [100_000, 0, 0, 0]
    root = project(tmp_path, server, sha256=SHA256)
    with pytest.raises(InputError, match="the next fetch resumes it"):
        fetch("a", root)
    assert not (root / "data/sources/a.zip").exists()
    fetch("a", root)
    assert server.requests[-1] == "bytes=100000-"
    assert (root / "data/sources/a.zip").read_bytes() == DATA


def test_server_without_ranges_starts_again(tmp_path, server):
    server.break_after, server.ranges = [300_000], False
    root = project(tmp_path, server, sha256=SHA256)
    fetch("a", root)
    assert (root / "data/sources/a.zip").read_bytes() == DATA


@pytest.mark.parametrize("length", [100, 700_000, 800_000])
def test_partial_file_of_something_else_is_replaced(tmp_path, server, length):
    root = project(tmp_path, server, sha256=SHA256)
    (root / "data/sources/.a.zip.partial").write_bytes(b"x" * length)
    fetch("a", root)
    assert (root / "data/sources/a.zip").read_bytes() == DATA


def test_a_missing_server_gives_a_one_line_error(tmp_path):
    with socket.socket() as silent:  # the port is bound, so that no other process responds, but not listening
        silent.bind(("127.0.0.1", 0))
        nobody = SimpleNamespace(url=f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(InputError, match="refused"):
            fetch("a", project(tmp_path, nobody, sha256=SHA256))


def test_the_offline_error_names_the_next_step(tmp_path, server, monkeypatch):
    monkeypatch.setenv(downloading.OFFLINE, "1")
    with pytest.raises(InputError, match=r"a\.zip: missing.*SLIM_BENCH_OFFLINE.*copy it here"):
        fetch("a", project(tmp_path, server, sha256=SHA256))
    assert server.requests == []


def test_simultaneous_fetches_download_once(tmp_path, server):
    root = project(tmp_path, server, sha256=SHA256)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: fetch("a", root), range(4)))
    assert len(server.requests) == 1


def test_a_source_without_checksum_is_not_downloaded_automatically(tmp_path, server):
    root = project(tmp_path, server)
    with pytest.raises(InputError, match=r"no checksum is published.*--accept-sha256"):
        fetch("a", root)
    assert server.requests == []
    fetch("a", root, accept_sha256="first-seen")
    assert pointer_of(root / "data/sources/a.zip").sha256 == SHA256
    (root / "data/sources/a.zip").write_bytes(b"another version")
    with pytest.raises(InputError, match=rf"sha256 is .*{SHA256} is expected"):
        fetch("a", root)


def test_a_partial_file_without_checksum_is_not_resumed(tmp_path, server):
    root = project(tmp_path, server)
    (root / "data/sources/.a.zip.partial").write_bytes(b"of another version")
    fetch("a", root, accept_sha256="first-seen")
    assert (root / "data/sources/a.zip").read_bytes() == DATA


def test_a_given_checksum_is_verified_before_recording(tmp_path, server):
    root = project(tmp_path, server)
    with pytest.raises(InputError, match="sha256 is"):
        fetch("a", root, accept_sha256="1" * 64)
    assert pointer_of(root / "data/sources/a.zip") is None
    fetch("a", root, accept_sha256=SHA256)
    assert pointer_of(root / "data/sources/a.zip").sha256 == SHA256


@pytest.mark.parametrize(
    ("accept", "message"), [("abc", "64 hexadecimal"), ("0" * 64, "only for a single file without")]
)
def test_accepting_a_checksum_is_refused_for_other_sources(tmp_path, server, accept, message):
    with pytest.raises(InputError, match=message):
        fetch("a", project(tmp_path, server, sha256=SHA256), accept_sha256=accept)


def test_changed_file_is_noticed_in_spite_of_the_receipt(tmp_path, server):
    root = project(tmp_path, server, sha256=SHA256)
    fetch("a", root)
    (root / "data/sources/a.zip").write_bytes(b"changed")
    with pytest.raises(InputError, match="delete the file and fetch it again"):
        source_files("a", root, load_catalogue(root))
    (root / "data/sources/a.zip").unlink()
    with pytest.raises(InputError, match="run `slim-bench fetch a`"):
        source_files("a", root, load_catalogue(root))


def test_a_manual_dataset_has_instructions_and_is_used_once_installed(tmp_path):
    root = make_project(tmp_path, a={"source": {"kind": "manual", "place": "mine", "how": "ask for it"}})
    with pytest.raises(InputError, match="manual installation is required: ask for it"):
        fetch("a", root)
    image_folder(root / "data/sources/mine")
    receipt = read_json(fetch("a", root))
    assert (receipt["dataset"], receipt["place"], len(receipt["members"])) == ("a", "data/sources/mine", 3)


def test_own_folder_must_exist(tmp_path):
    root = make_project(tmp_path / "project")
    folders = {"cats": {"path": str(tmp_path / "cats")}}
    with pytest.raises(InputError, match="cats: no such file or folder"):
        fetch("cats", root, folders=folders)
    image_folder(tmp_path / "cats")
    assert fetch("cats", root, folders=folders).exists()


def make_git(folder: Path) -> None:
    """Create a repository if git is installed. Otherwise DVC is configured to work without one."""
    if shutil.which("git"):
        subprocess.run(["git", "init", "-q", str(folder)], check=True)


def clone(target: Path) -> Path:
    """Create the data files of a fresh clone: configuration, pointers, DVC remote, and an empty cache."""
    make_git(target)
    for name in (".dvc/config", ".dvc/.gitignore", ".dvcignore", "config/datasets.yaml", "data/sources/.gitignore"):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target / name)
    for pointer in (ROOT / "data/sources").glob("*.dvc"):
        shutil.copy(pointer, target / "data/sources")
    shutil.copytree(ROOT / "data/shipped", target / "data/shipped")
    return target


def test_shipped_datasets_are_pulled_in_parallel_and_tampering_is_refused(tmp_path):
    root = clone(tmp_path / "clone")
    md5 = read_yaml(root / "data/sources/fashion-mnist.tar.dvc")["outs"][0]["md5"]
    tampered = root / "data/shipped/files/md5" / md5[:2] / md5[2:]
    data = bytearray(tampered.read_bytes())
    data[1_000_000] ^= 1
    tampered.chmod(0o644)  # DVC makes objects read-only after reading them
    tampered.write_bytes(bytes(data))
    names = ["fluent-emoji-100", "photo-coffee", "fashion-mnist"]
    running = {
        name: subprocess.Popen([sys.executable, "-c", FETCH, name], cwd=root, stderr=subprocess.PIPE, text=True)
        for name in names
    }
    outputs = {name: process.communicate()[1] for name, process in running.items()}
    assert {name: process.returncode for name, process in running.items()} == {
        "fluent-emoji-100": 0,
        "photo-coffee": 0,
        "fashion-mnist": 1,
    }, outputs
    assert "fashion-mnist.tar" in outputs["fashion-mnist"]
    assert "Traceback" not in outputs["fashion-mnist"]
    assert not (root / "data/sources/fashion-mnist.tar").exists()
    assert (root / receipt_path("photo-coffee")).exists()


def test_an_external_dvc_import_is_downloaded_verified_and_committed_unchanged(tmp_path, server):
    root = project(tmp_path / "project", server)
    make_git(root)
    (root / ".dvc").mkdir()
    (root / ".dvc/config").touch()
    run_dvc(root, "import-url", f"{server.url}/a.zip", "data/sources/a.zip")
    pointer = root / "data/sources/a.zip.dvc"
    before = pointer.read_bytes()
    (root / "data/sources/a.zip").unlink()
    shutil.rmtree(root / ".dvc/cache")
    fetch("a", root)
    assert (root / "data/sources/a.zip").read_bytes() == DATA
    assert pointer.read_bytes() == before
    assert (root / ".dvc/cache/files/md5" / MD5[:2] / MD5[2:]).exists()
    server.data = b"changed at the source"
    (root / "data/sources/a.zip").unlink()
    shutil.rmtree(root / ".dvc/cache")
    with pytest.raises(InputError, match=rf"md5 is .*{MD5} is expected"):
        fetch("a", root)
    assert pointer.read_bytes() == before


def weights_project(root: Path, url: str, **fields) -> Path:
    make_project(root)
    entry = {"title": "t", "file": "w.pth", "url": url, "sha256": SHA256, "licence": "l", "used_by": "u"} | fields
    (root / "config/datasets.yaml").write_text(f"datasets: {{}}\nweights: {{w: {entry!r}}}\n")
    return root


def test_weights_are_fetched_once_and_always_checked(tmp_path, server, monkeypatch):
    monkeypatch.setenv("SLIM_BENCH_WEIGHTS", str(tmp_path / "cache"))
    root = weights_project(tmp_path / "project", f"{server.url}/w.pth", sha256=SHA256[:8])
    with pytest.raises(InputError, match=r"weights 'w' are not installed.*slim-bench fetch w.*w\.pth"):
        fetch_weights("w", root, network=False)
    assert fetch_weights("w", root) == tmp_path / "cache/w.pth"
    assert fetch("w", root) == tmp_path / "cache/w.pth"
    assert len(server.requests) == 1
    (tmp_path / "cache/w.pth").write_bytes(b"corrupt")
    with pytest.raises(InputError, match=r"wrong weights, sha256 is .*run `slim-bench fetch"):
        fetch_weights("w", root)


def test_weights_come_from_the_mirror_if_the_download_fails(tmp_path, server, monkeypatch):
    monkeypatch.setenv("SLIM_BENCH_WEIGHTS", str(tmp_path / "cache"))
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror/w.pth").write_bytes(DATA)
    root = weights_project(tmp_path / "project", f"{server.url}/w.pth")
    server.status = 404
    fetch("w", root, settings=DataSettings(mirror=str(tmp_path / "mirror")))
    assert (tmp_path / "cache/w.pth").read_bytes() == DATA


def test_a_read_only_weights_folder_is_skipped(tmp_path, server, monkeypatch):
    with mounted(tmp_path / "shared", "ro") as shared:
        monkeypatch.setenv("SLIM_BENCH_WEIGHTS", str(shared))
        root = weights_project(tmp_path / "project", f"{server.url}/w.pth", sha256=SHA256[:8])
        assert fetch_weights("w", root) == root / "data/sources/w.pth"


def test_weights_tracked_by_dvc_come_from_its_remote_and_are_checked(tmp_path, server, monkeypatch):
    monkeypatch.delenv("SLIM_BENCH_WEIGHTS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    root = weights_project(tmp_path / "project", f"{server.url}/w.pth")
    pointer = root / "data/sources/w.pth.dvc"
    pointer.parent.mkdir(parents=True, exist_ok=True)
    pointer.write_text(f"outs:\n- md5: {MD5}\n  path: w.pth\n")
    calls = []

    def download_content(content):
        def run_dvc(folder, *line):
            calls.append(line)
            (folder / "data/sources/w.pth").write_bytes(content)

        return run_dvc

    monkeypatch.setattr("bench.data.dvc.run_dvc", download_content(b"another file"))
    with pytest.raises(InputError, match="wrong weights"):
        fetch_weights("w", root)
    (root / "data/sources/w.pth").unlink()
    monkeypatch.setattr("bench.data.dvc.run_dvc", download_content(DATA))
    assert fetch_weights("w", root) == root / "data/sources/w.pth"
    assert calls == 2 * [("pull", "data/sources/w.pth.dvc")]
    assert not server.requests


def test_weights_in_a_package_need_no_network():
    path = fetch_weights("efficientnet-lite0", ROOT, network=False)
    assert path.name == "efficientnet-lite0-57934424.pth"


@pytest.mark.parametrize("text", ["", "outs: []", "outs: {}", "outs: [a.zip]", "md5: 1", "outs: [{md5: x}, {md5: y}]"])
def test_a_damaged_pointer_gives_a_one_line_error(tmp_path, server, text):
    root = project(tmp_path, server, sha256=SHA256)
    fetch("a", root)
    (root / "data/sources/a.zip.dvc").write_text(text)
    with pytest.raises(InputError, match=r"a\.zip\.dvc: outs: expected exactly one DVC output"):
        fetch("a", root)


def test_a_pipe_in_place_of_a_shipped_archive_is_refused(tmp_path):
    """DVC would never finish reading it."""
    os.mkfifo(tmp_path / "set.tar")
    with pytest.raises(InputError, match=r"set\.tar: not a regular file"):
        run_dvc(tmp_path, "pull", "set.tar.dvc")
