"""Sources of a dataset: their order, the mirror folder, trust on first use, and the error if none works."""

import pytest

from bench.data import connection
from bench.data.catalogue import load_catalogue
from bench.data.connection import UnavailableError
from bench.data.copies import copy_verified
from bench.data.fetch import fetch, fetch_dataset, source_files
from bench.data.obtain import mirror_folder
from bench.data.sources import DataSettings, download_bytes, is_pinned, label, preferred_sources
from bench.errors import InputError
from bench.files import read_json, sha256_bytes
from bench.runtime.environment import OFFLINE
from tests.helpers.data_project import image_folder, make_project
from tests.helpers.loopback import loopback, status

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CONTENT = b"content" * 1000
SHA256 = sha256_bytes(CONTENT)
TRUST = DataSettings(trust_first_use=True)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(connection.time, "sleep", lambda _: None)
    monkeypatch.delenv(OFFLINE, raising=False)


@pytest.fixture
def server():
    with loopback() as running:
        running.files["/a.bin"] = CONTENT
        running.files[f"/owner/repo/{COMMIT}/a.bin"] = CONTENT
        yield running


def entry_at(server, path: str = "/a.bin", name: str = "a.bin", **pins) -> dict:
    return {"name": name, "url": f"{server.url}{path}"} | pins


def hub(**pins) -> dict:
    file = {"name": "a.parquet", "path": "data/a.parquet"} | pins
    return {"kind": "hub", "repo": "owner/a", "revision": COMMIT, "files": [file]}


MANUAL = {"kind": "manual", "place": "mine", "how": "ask for it"}


def test_dvc_and_the_mirror_precede_sources_without_checksum(tmp_path, server):
    loose = {"kind": "url", "files": [entry_at(server)]}
    fixed = {"kind": "raw", "files": [entry_at(server, f"/owner/repo/{COMMIT}/a.bin", sha256=SHA256)]}
    root = make_project(tmp_path, a={"sources": [hub(), fixed, loose, MANUAL]})
    sources = load_catalogue(root).dataset("a").sources
    found = preferred_sources(sources, DataSettings(mirror=str(tmp_path)), root)
    assert [source.kind for source in found] == ["hub", "raw", *4 * ["mirror"], "url", "manual"]
    (root / "data/sources/a.bin.dvc").write_text("outs: [{md5: x, path: a.bin}]\n")
    (root / ".dvc").mkdir()
    found = preferred_sources(sources, DataSettings(), root)
    assert [source.kind for source in found] == ["hub", "raw", "dvc", "dvc", "url", "manual"]
    assert [is_pinned(source) for source in sources] == [True, True, False, True]
    assert label(sources[0]) == f"hub owner/a@{COMMIT[:7]}"


def test_sizes_are_added_up_if_all_are_known(tmp_path):
    root = make_project(tmp_path, a={"sources": [hub(bytes=5)]}, b={"sources": [hub()]})
    catalogue = load_catalogue(root)
    assert download_bytes(catalogue.dataset("a").sources[0]) == 5
    assert download_bytes(catalogue.dataset("b").sources[0]) is None


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ([hub() | {"revision": "main"}], "revision"),
        ([hub() | {"files": [{"name": "a.parquet"}]}], r"file a\.parquet: give its `path`"),
        ([hub(path="../a.parquet")], "relative path"),
        ([{"kind": "raw", "files": [{"name": "a", "url": "http://x/main/a", "sha256": SHA256}]}], "full commit"),
        ([{"kind": "raw", "files": [{"name": "a", "url": f"http://x/{COMMIT}/a"}]}], "give its `sha256`"),
        ([{"kind": "url", "files": [{"name": "a"}]}], "give its `url`"),
        ([{"kind": "url", "files": []}], r"sources\.0"),
        ([], "give either `source` or `sources`"),
    ],
)
def test_a_source_that_is_not_fixed_is_refused(tmp_path, sources, message):
    root = make_project(tmp_path, a={"sources": sources})
    with pytest.raises(InputError, match=message) as error:
        load_catalogue(root)
    assert "\n" not in str(error.value)


def test_the_next_source_is_used_after_404_and_named(tmp_path, server, capsys):
    first = {"kind": "raw", "files": [entry_at(server, f"/owner/gone/{COMMIT}/a.bin", sha256=SHA256)]}
    second = {"kind": "url", "files": [entry_at(server, sha256=SHA256)]}
    root = make_project(tmp_path, a={"sources": [first, second]})
    catalogue = load_catalogue(root)
    found = fetch_dataset("a", catalogue, root)
    assert (found.origin, found.files) == ("url " + server.url[7:], [root / "data/sources/a.bin"])
    assert "404 Not Found" in (message := capsys.readouterr().err) and "; trying url" in message
    again = fetch_dataset("a", catalogue, root)
    assert (again.origin, again.receipt) == (None, found.receipt)


def test_every_reason_is_given_if_no_source_works(tmp_path, server):
    server.forever = True
    server.problems["/a.bin"] = [status(403)]
    first = {"kind": "url", "files": [entry_at(server, sha256=SHA256)]}
    second = {"kind": "url", "files": [entry_at(server, "/b.zip", "b.zip")]}
    root = make_project(tmp_path, a={"sources": [first, second, MANUAL]})
    with pytest.raises(InputError) as error:
        fetch("a", root)
    for part in ("403 Forbidden; log in", "no checksum is published for", "data.trust_first_use", "ask for it"):
        assert part in str(error.value)
    assert "\n" not in str(error.value)


def test_the_first_use_is_trusted_only_if_allowed_and_pinned(tmp_path, server):
    root = make_project(tmp_path, a={"sources": [{"kind": "url", "files": [entry_at(server)]}]})
    with pytest.raises(InputError, match=r"no checksum is published.*trust_first_use"):
        fetch("a", root)
    assert not server.requests
    fetch("a", root, settings=TRUST)
    (root / "data/sources/a.bin").unlink()
    server.files["/a.bin"] = b"changed at the source"
    with pytest.raises(InputError, match=f"{SHA256} is expected|md5 is"):
        fetch("a", root, settings=TRUST)
    assert not (root / "data/sources/a.bin").exists()


def test_the_mirror_provides_a_file_which_is_verified(tmp_path, server):
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    server.problems["/a.bin"], server.forever = [status(404)], True
    root = make_project(tmp_path / "p", a={"sources": [{"kind": "url", "files": [entry_at(server, sha256=SHA256)]}]})
    settings = DataSettings(mirror=str(mirror))
    with pytest.raises(InputError, match=r"mirror/a\.bin: no such file in the mirror"):
        fetch("a", root, settings=settings)
    (mirror / "a.bin").write_bytes(b"wrong")
    with pytest.raises(InputError, match=r"mirror/a\.bin: sha256 is .* replace this file"):
        fetch("a", root, settings=settings)
    assert not (root / "data/sources/a.bin").exists()
    (mirror / "a.bin").write_bytes(CONTENT)
    fetch("a", root, settings=settings)
    assert source_files("a", root, load_catalogue(root)) == [root / "data/sources/a.bin"]
    assert (mirror / "a.bin").stat().st_nlink == 1, "the user's file is copied, not linked"


@pytest.mark.parametrize("wrong", [{"sha256": "0" * 64}, {"md5": "0" * 32}, {"size": 1}])
def test_a_wrong_copy_leaves_no_file(tmp_path, wrong):
    (tmp_path / "a").write_bytes(CONTENT)
    with pytest.raises(UnavailableError, match="replace this file"):
        copy_verified(tmp_path / "a", tmp_path / "b", **({"sha256": None, "md5": None, "size": None} | wrong))
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_folder_of_the_mirror_is_linked(tmp_path):
    image_folder(tmp_path / "mirror/mine")
    root = make_project(tmp_path / "p", a={"sources": [MANUAL]})
    receipt = read_json(fetch("a", root, settings=DataSettings(mirror=str(tmp_path / "mirror"))))
    assert (receipt["place"], len(receipt["members"])) == ("data/sources/mine", 3)
    assert (root / "data/sources/mine").is_symlink()


def test_a_missing_mirror_gives_a_one_line_error(tmp_path):
    with pytest.raises(UnavailableError, match=r"data\.mirror: .*gone: no such folder; create or mount it"):
        mirror_folder(DataSettings(mirror=str(tmp_path / "gone")), tmp_path)


def test_a_shared_folder_is_used_only_by_the_datasets_that_it_contains(tmp_path):
    cats = {"sources": [MANUAL], "task": "oneshot", "preparation": {"members": "cat.*"}}
    dogs = {"sources": [MANUAL], "task": "oneshot", "preparation": {"members": "0.*"}}
    root = make_project(tmp_path, cats=cats, dogs=dogs)
    image_folder(root / "data/sources/mine")
    assert read_json(fetch("dogs", root))["place"] == "data/sources/mine"
    with pytest.raises(InputError, match="cats: manual installation is required: ask for it"):
        fetch("cats", root)


def test_offline_mode_uses_the_mirror(tmp_path, server, monkeypatch):
    monkeypatch.setenv(OFFLINE, "1")
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror/a.bin").write_bytes(CONTENT)
    root = make_project(tmp_path / "p", a={"sources": [{"kind": "url", "files": [entry_at(server, sha256=SHA256)]}]})
    fetch("a", root, settings=DataSettings(mirror=str(tmp_path / "mirror")))
    assert not server.requests


def test_a_shared_folder_of_the_mirror_provides_only_what_it_contains(tmp_path):
    image_folder(tmp_path / "mirror/mine")
    cats = {"sources": [MANUAL], "task": "oneshot", "preparation": {"members": "cat.*"}}
    root = make_project(tmp_path / "p", cats=cats)
    with pytest.raises(InputError, match=r"cats: mine: no folder with these images in the mirror .* ask for it"):
        fetch("cats", root, settings=DataSettings(mirror=str(tmp_path / "mirror")))


def test_large_archives_of_the_mirror_are_verified_and_linked(tmp_path):
    (tmp_path / "mirror").mkdir()
    archive = tmp_path / "mirror/a.tar"
    source = MANUAL | {"files": [{"name": "a.tar", "sha256": SHA256}]}
    root = make_project(tmp_path / "p", a={"sources": [source]})
    settings = DataSettings(mirror=str(tmp_path / "mirror"))
    archive.write_bytes(b"wrong")
    with pytest.raises(InputError, match=r"mirror/a\.tar: sha256 is .* replace this file"):
        fetch("a", root, settings=settings)
    archive.write_bytes(CONTENT)
    fetch("a", root, settings=settings)
    assert (root / "data/sources/a.tar").is_symlink()
