"""Files of the Hugging Face Hub, from a server on loopback: checksums, tokens, cache, and problems of the Hub."""

import hashlib
import os
from pathlib import Path

import pytest

from bench.data import connection
from bench.data.fetch import fetch
from bench.data.hub import git_blob_sha1
from bench.errors import InputError
from bench.files import sha256_bytes
from bench.runtime.environment import OFFLINE
from tests.helpers.data_project import make_project
from tests.helpers.loopback import STORE, login_page, loopback, other_content, silent, status

REPO, REVISION, PATH = "owner/few", "0123456789abcdef0123456789abcdef01234567", "data/train-00000-of-00001.parquet"
CONTENT = os.urandom(20_000)
INFO = f"/api/datasets/{REPO}/paths-info/{REVISION}"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", OFFLINE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(connection.time, "sleep", lambda _: None)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    with loopback() as running:
        running.add_hub(REPO, REVISION, PATH, CONTENT)
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


def project(root, *more: dict, **pins):
    file = {"name": "few.parquet", "path": PATH} | pins
    source = {"kind": "hub", "repo": REPO, "revision": REVISION, "files": [file]}
    return make_project(root, a={"sources": [source, *more]})


def refused(root, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        fetch("a", root)
    assert "\n" not in str(error.value) and "\x1b" not in str(error.value)
    assert not (root / "data/sources/few.parquet").exists()


@pytest.mark.parametrize("pins", [{}, {"sha256": sha256_bytes(CONTENT), "bytes": len(CONTENT)}])
def test_a_file_at_a_full_commit_is_downloaded_and_verified(tmp_path, hub, pins):
    root = project(tmp_path / "project", **pins)
    fetch("a", root)
    assert (root / "data/sources/few.parquet").read_bytes() == CONTENT
    assert not [path for path in hub.paths() if "agent" in path], "telemetry is off"
    count = len(hub.requests)
    fetch("a", root)
    assert len(hub.requests) == count, "a valid file is not downloaded again"


def test_wrong_content_of_the_right_length_is_refused(tmp_path, hub):
    hub.problems[STORE + sha256_bytes(CONTENT)] = [other_content(bytes(len(CONTENT)))]
    refused(project(tmp_path / "project"), "sha256 is .* is expected")


def test_the_catalogue_and_the_hub_must_agree(tmp_path, hub):
    refused(project(tmp_path / "a", sha256="0" * 64), "the Hub states sha256 .* at this commit, but 0+ is expected")
    refused(project(tmp_path / "b", bytes=5), "the Hub states size 20000 at this commit, but 5 is expected")
    hub.stated_sha256[PATH] = "1" * 64
    refused(project(tmp_path / "c"), "sha256 is .* but 1+ is expected")
    assert len(hub.paths()) == 2, "only the last file was requested, through one redirect"


def test_a_small_file_in_git_is_verified_by_its_git_hash(tmp_path, hub):
    hub.plain.add(PATH)
    root = project(tmp_path / "a")
    fetch("a", root)
    path = root / "data/sources/few.parquet"
    assert git_blob_sha1(path) == hashlib.sha1(b"blob 20000\0" + CONTENT).hexdigest()
    hub.problems[f"/datasets/{REPO}/resolve/{REVISION}/{PATH}"] = [other_content(bytes(len(CONTENT)))]
    refused(project(tmp_path / "b"), "differs from the Hub's git hash")


def test_the_token_of_a_gated_repository_is_sent_to_the_hub_only(tmp_path, hub, monkeypatch):
    hub.gated[REPO] = "secret"
    root = project(tmp_path / "project")
    refused(root, "401 Unauthorized; log in with .* or set HF_TOKEN")
    monkeypatch.setenv("HF_TOKEN", "secret")
    fetch("a", root)
    stored = [request for request in hub.requests if request.path.startswith(STORE)]
    assert len(stored) == 1
    assert "Authorization" not in stored[0].headers


def test_a_download_is_in_the_cache_of_huggingface_hub_for_other_projects(tmp_path, hub):
    import huggingface_hub

    fetch("a", project(tmp_path / "a"))
    found = huggingface_hub.hf_hub_download(REPO, PATH, repo_type="dataset", revision=REVISION, local_files_only=True)
    assert Path(found).read_bytes() == CONTENT
    count = len(hub.requests)
    fetch("a", project(tmp_path / "b"))
    assert len(hub.requests) == count


def test_the_cache_of_huggingface_hub_is_used_if_its_content_is_right(tmp_path, hub):
    sha256 = sha256_bytes(CONTENT)
    folder = tmp_path / "cache/datasets--owner--few"
    snapshot = folder / "snapshots" / REVISION / PATH
    snapshot.parent.mkdir(parents=True)
    (folder / "blobs").mkdir()
    (folder / "blobs" / sha256).write_bytes(CONTENT)
    snapshot.symlink_to(folder / "blobs" / sha256)
    root = project(tmp_path / "a")
    fetch("a", root)
    assert (root / "data/sources/few.parquet").read_bytes() == CONTENT
    assert not hub.requests
    (folder / "blobs" / sha256).write_bytes(b"damaged")
    root = project(tmp_path / "b")
    fetch("a", root)
    assert (root / "data/sources/few.parquet").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (login_page, "is not that of a Hugging Face Hub; check HF_ENDPOINT"),
        (status(404), "404 Not Found; check `repo` and `revision`"),
        (status(403), "403 Forbidden; log in"),
        (status(503), r"503 Service Unavailable \(4 attempts"),
        (other_content(b"[]", Content_Type="application/json"), "the repository has no such file at this commit"),
        (other_content(b'[{"type": "file"}]', Content_Type="application/json"), "is not that of a Hugging Face Hub"),
    ],
)
def test_a_problem_of_the_api_gives_a_one_line_error(tmp_path, hub, problem, message):
    hub.problems[INFO], hub.forever = [problem], True
    refused(project(tmp_path / "project"), message)


def test_the_api_is_retried_after_a_temporary_problem(tmp_path, hub):
    hub.problems[INFO] = [status(500), status(429, Retry_After="1"), status(502)]
    fetch("a", project(tmp_path / "project"))
    assert hub.paths("POST") == 4 * [INFO]


def test_the_next_source_is_used_if_the_hub_does_not_respond(tmp_path, hub, monkeypatch, capsys):
    monkeypatch.setattr(connection, "NOTE_SECONDS", 0.2)
    monkeypatch.setattr(connection, "STALL_SECONDS", 2.0)
    hub.problems[INFO], hub.forever = [silent()], True
    hub.files["/few.parquet"] = CONTENT
    file = {"name": "few.parquet", "url": f"{hub.url}/few.parquet", "sha256": sha256_bytes(CONTENT)}
    fetch("a", project(tmp_path / "project", {"kind": "url", "files": [file]}))
    message = capsys.readouterr().err
    assert "no data for 0.2 s; waiting 1.8 s more" in message
    assert "trying url 127.0.0.1" in message


def test_offline_mode_uses_only_the_cache(tmp_path, hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    refused(project(tmp_path / "project"), "HF_HUB_OFFLINE disables downloads")
    assert not hub.requests
