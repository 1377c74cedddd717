"""State of a dataset: here, fetchable, needs a token, needs trust_first_use, install manually; and its description."""

import pytest

from bench.data.catalogue import load_catalogue
from bench.data.descriptions import describe_dataset, description_lines
from bench.data.fetch import fetch
from bench.data.fetch_job import FetchJob
from bench.data.sources import DataSettings
from bench.data.states import (
    FETCHABLE,
    HERE,
    MANUAL,
    TOKEN,
    TRUST,
    DatasetState,
    dataset_state,
    has_token,
    required_action,
    total_bytes,
)
from tests.helpers.data_project import image_folder, make_project

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LOOSE = {"kind": "url", "files": [{"name": "a.zip", "url": "http://localhost:9/a.zip"}]}
FIXED = {"kind": "url", "files": [{"name": "a.zip", "url": "http://localhost:9/a.zip", "md5": "0" * 32, "bytes": 7}]}
HUB = {"kind": "hub", "repo": "o/r", "revision": COMMIT, "files": [{"name": "a.parquet", "path": "a.parquet"}]}
GATED = HUB | {"gated": True}
MANUAL_SOURCE = {"kind": "manual", "place": "mine", "how": "ask for it"}


@pytest.fixture(autouse=True)
def no_token(monkeypatch, tmp_path):
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))


def job_of(root, **settings) -> FetchJob:
    catalogue = load_catalogue(root)
    return FetchJob(root, catalogue, "a", catalogue.dataset("a"), settings=DataSettings(**settings))


@pytest.mark.parametrize(
    ("sources", "state", "source"),
    [
        ([FIXED], FETCHABLE, "url localhost:9"),
        ([HUB, MANUAL_SOURCE], FETCHABLE, f"hub o/r@{COMMIT[:7]}"),
        ([GATED, MANUAL_SOURCE], TOKEN, f"hub o/r@{COMMIT[:7]}"),
        ([GATED, FIXED], FETCHABLE, "url localhost:9"),
        ([LOOSE, MANUAL_SOURCE], TRUST, "url localhost:9"),
        ([MANUAL_SOURCE], MANUAL, "manual mine"),
    ],
)
def test_the_state_of_a_missing_dataset(tmp_path, sources, state, source):
    found = dataset_state(job_of(make_project(tmp_path, a={"sources": sources})))
    assert (found.state, found.source, bool(found.remedy)) == (state, source, True)


def test_settings_tokens_mirrors_and_pointers_make_a_dataset_fetchable(tmp_path, monkeypatch):
    root = make_project(tmp_path / "project", a={"sources": [LOOSE, GATED, MANUAL_SOURCE]})
    assert dataset_state(job_of(root)).state == TOKEN
    assert dataset_state(job_of(root, trust_first_use=True)).state == FETCHABLE
    monkeypatch.setenv("HF_TOKEN", "hf_x")
    assert has_token() and dataset_state(job_of(root)).state == FETCHABLE
    monkeypatch.delenv("HF_TOKEN")
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub/token").write_text("hf_x")
    assert has_token()
    (tmp_path / "hub/token").unlink()
    (tmp_path / "mirror").mkdir()
    assert dataset_state(job_of(root, mirror=str(tmp_path / "mirror"))).state == TOKEN
    (tmp_path / "mirror/a.zip").write_bytes(b"content")
    assert dataset_state(job_of(root, mirror=str(tmp_path / "mirror"))).state == FETCHABLE
    (root / "data/sources/a.zip.dvc").write_text(f"outs:\n- md5: {'a' * 32}\n  path: a.zip\n")
    assert dataset_state(job_of(root)).state == FETCHABLE, "pinned by the pointer"


def test_the_state_of_an_available_file_or_folder_is_here(tmp_path):
    root = make_project(tmp_path, a={"sources": [FIXED, MANUAL_SOURCE]})
    (root / "data/sources/a.zip").write_bytes(b"content")
    found = dataset_state(job_of(root))
    assert (found.state, found.bytes, found.remedy) == (HERE, 7, "")
    (root / "data/sources/a.zip").unlink()
    folder = image_folder(root / "data/sources/mine")
    fetch("a", root)
    found = dataset_state(job_of(root))
    assert (found.state, found.source) == (HERE, "data/sources/mine")
    assert found.bytes == sum(path.stat().st_size for path in folder.iterdir())


def test_a_missing_folder_of_the_user_is_not_an_error(tmp_path):
    root = make_project(tmp_path)
    catalogue = load_catalogue(root, {"cats": {"path": "no-cats"}})
    found = dataset_state(FetchJob(root, catalogue, "cats", catalogue.dataset("cats")))
    assert (found.state, found.source) == (MANUAL, "no-cats")


def test_a_shared_file_counts_once_and_unknown_sizes_are_counted():
    def state(*files):
        return DatasetState("a", "fewshot", FETCHABLE, "s", files, "l")

    states = [state(("a.tar", 5)), state(("a.tar", 5), ("b.tar", 7)), state(("c.tar", None))]
    assert total_bytes(states) == (12, 1)
    assert [one.bytes for one in states] == [5, 12, None]


def test_the_description_names_sources_checksums_records_and_remedies(tmp_path):
    root = make_project(tmp_path, a={"sources": [HUB, FIXED, LOOSE, MANUAL_SOURCE], "terms": "cite \x1b[31m"})
    (root / "data/sources/a.parquet.dvc").write_text(f"outs:\n- md5: {'b' * 32}\n  size: 5\n  path: a.parquet\n")
    described = describe_dataset(job_of(root))
    assert [source["source"] for source in described["sources"]][-1] == "manual mine"
    assert described["records"] == [{"pointer": "data/sources/a.parquet.dvc", "md5": "b" * 32, "bytes": 5}]
    text = "\n".join(description_lines(described))
    for part in (
        f"hf://datasets/o/r@{COMMIT}/a.parquet",
        f"md5 {'0' * 32}",
        "no checksum",
        "data/sources/mine: ask for it",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("sources", "settings", "parts"),
    [
        ([FIXED], {}, None),
        ([HUB, MANUAL_SOURCE], {}, None),
        ([LOOSE], {"trust_first_use": True}, None),
        ([LOOSE], {}, ["data.trust_first_use"]),
        ([LOOSE, MANUAL_SOURCE], {}, ["data.trust_first_use", "; or ask for it"]),
        ([GATED, MANUAL_SOURCE], {}, ["HF_TOKEN", "hub o/r", "; or ask for it"]),
        ([MANUAL_SOURCE], {}, ["ask for it"]),
        ([{"kind": "folder", "path": "../missing"}], {}, ["missing: no such file or folder"]),
    ],
)
def test_required_actions_of_the_user_are_listed(tmp_path, sources, settings, parts):
    problem = required_action(job_of(make_project(tmp_path, a={"sources": sources}), **settings))
    assert (problem is None) == (parts is None)
    assert all(part in problem for part in parts or ())


def test_an_installed_dataset_needs_no_action(tmp_path):
    root = make_project(tmp_path, a={"sources": [MANUAL_SOURCE]})
    image_folder(root / "data/sources/mine")
    assert required_action(job_of(root)) is None
