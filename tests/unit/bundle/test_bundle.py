"""Bundles: complete, equal for equal results, verified member by member, never written over other files."""

import hashlib
import json
import os
import zipfile
from pathlib import Path

import pytest

from bench.bundle.archive import check_bundle, is_bundle, write_bundle
from bench.bundle.contents import members
from bench.bundle.metadata import Facts
from bench.cli import main
from bench.errors import InputError
from bench.files import sha256_file, write_json
from bench.input_hashes import RENDERED, rendered_from
from tests.helpers.report_fixture import collected, make_results

FACTS = Facts("demo", ("c" * 40,), 3, 9)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Create collected results with the record of a report that consists of a page and a table."""
    scale_dir = make_results(tmp_path_factory.mktemp("project"), seeds=1)
    collected(scale_dir)
    (scale_dir / "report").mkdir()
    (scale_dir / "report/index.html").write_text("<p>page</p>")
    (scale_dir / "tables").mkdir()
    (scale_dir / "tables/summary.csv").write_text("a,b\n")
    record(scale_dir)
    return scale_dir


def record(scale_dir):
    files = {name: sha256_file(scale_dir / name) for name in ("report/index.html", "tables/summary.csv")}
    write_json(scale_dir / RENDERED, {"made_from": rendered_from(scale_dir), "files": files})


@pytest.fixture
def bundle(results, tmp_path):
    write_bundle(results, FACTS, tmp_path / "demo.zip")
    return tmp_path / "demo.zip"


def rewritten(path: Path, change) -> Path:
    """Return a copy of an archive in which `change` edited the dictionary of its members."""
    with zipfile.ZipFile(path) as archive:
        members = {entry: archive.read(entry) for entry in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path.with_name("changed.zip"), "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path.with_name("changed.zip")


def test_a_bundle_contains_report_scores_configuration_and_lock(bundle, results):
    with zipfile.ZipFile(bundle) as archive:
        names = set(archive.namelist())
        sums = archive.read("demo/SHA256SUMS").decode()
        crate = json.loads(archive.read("demo/ro-crate-metadata.json"))
        deposit = json.loads(archive.read("demo/.zenodo.json"))
        run = archive.read("demo/results/runs/singan/photo-astronaut/seed0/run.json")
    assert {"demo/results/report/index.html", "demo/results/scores.csv", "demo/requirements.lock"} <= names
    assert {"demo/config/claims.yaml", "demo/config/suites/demo.yaml", "demo/LICENSE", "demo/README.md"} <= names
    assert not [name for name in names if name.endswith((".safetensors", ".ckpt")) or "/samples/" in name]
    assert f"{hashlib.sha256(run).hexdigest()}  results/runs/singan/photo-astronaut/seed0/run.json\n" in sums
    root = next(entity for entity in crate["@graph"] if entity["@id"] == "./")
    assert root["license"].endswith("/MIT") and {"@id": "results/scores.csv"} in root["hasPart"]
    assert deposit["upload_type"] == "dataset" and deposit["license"] == "mit" and "9 scores" in deposit["description"]
    assert check_bundle(bundle) == len(names)


def test_members_have_unique_names_and_exist(results):
    listed = members(results)
    assert len({member.name for member in listed}) == len(listed) > 20
    assert all(member.path.is_file() for member in listed)


def test_equal_results_give_equal_archives(bundle, results, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    os.utime(results / "scores.csv", (1, 1))
    write_bundle(results, FACTS, other / "demo.zip")
    with zipfile.ZipFile(bundle) as first, zipfile.ZipFile(other / "demo.zip") as second:
        assert first.namelist() == second.namelist()
        dated = {"demo/ro-crate-metadata.json", "demo/SHA256SUMS"}  # the date of publication
        assert all(first.read(name) == second.read(name) for name in set(first.namelist()) - dated)
        assert {entry.date_time for entry in first.infolist()} == {(1980, 1, 1, 0, 0, 0)}


CHANGES = {
    "changed": (lambda m: m.update({"demo/results/scores.csv": b"x"}), "results/scores.csv: differs from its checksum"),
    "removed": (lambda m: m.pop("demo/LICENSE"), "LICENSE: is not in the archive"),
    "added": (lambda m: m.update({"demo/x.py": b"1"}), "x.py: is not listed in SHA256SUMS"),
    "unsafe": (lambda m: m.update({"demo/../../x": b"1"}), "not a valid member"),
    "second root": (lambda m: m.update({"other/x": b"1"}), "more than one top-level folder"),
    "no sums": (lambda m: m.pop("demo/SHA256SUMS"), "SHA256SUMS is missing"),
    "bad sums": (lambda m: m.update({"demo/SHA256SUMS": b"abc\n"}), "line 1 is not"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_is_named(bundle, name):
    change, message = CHANGES[name]
    with pytest.raises(InputError, match=message):
        check_bundle(rewritten(bundle, change))


def test_members_read_into_memory_are_limited(bundle, monkeypatch):
    monkeypatch.setattr("bench.bundle.archive.MAX_TEXT_BYTES", 100)
    with pytest.raises(InputError, match="is not a valid member of a bundle"):
        check_bundle(bundle)


def test_only_the_compression_of_bundles_is_accepted(bundle):
    with zipfile.ZipFile(bundle, "a") as archive:
        archive.writestr("demo/x", b"1", compress_type=zipfile.ZIP_LZMA)
    with pytest.raises(InputError, match="demo/x: is not a valid member of a bundle"):
        check_bundle(bundle)


@pytest.mark.parametrize("length", [0, 10, 3000])
def test_a_truncated_archive_gives_a_one_line_error(bundle, length):
    bundle.write_bytes(bundle.read_bytes()[:length])
    with pytest.raises(InputError, match=r"is not a ZIP archive, or is damaged"):
        check_bundle(bundle)


def test_a_flipped_byte_is_detected(bundle):
    data = bytearray(bundle.read_bytes())
    for position in range(200, len(data) - 4000, len(data) // 7):
        changed = bytearray(data)
        changed[position] ^= 1
        bundle.write_bytes(changed)
        with pytest.raises(InputError):
            check_bundle(bundle)


def test_a_changed_or_outdated_report_is_refused(results, tmp_path):
    page = results / "report/index.html"
    before = page.read_text()
    try:
        page.write_text("edited")
        with pytest.raises(InputError, match=r"index.html: was changed or removed after the report was rendered"):
            write_bundle(results, FACTS, tmp_path / "x.zip")
        write_json(results / RENDERED, {"made_from": "0", "files": {"report/index.html": sha256_file(page)}})
        with pytest.raises(InputError, match="the report is outdated; run `snakemake report`"):
            write_bundle(results, FACTS, tmp_path / "x.zip")
        (results / RENDERED).unlink()
        with pytest.raises(InputError, match="has no complete report"):
            write_bundle(results, FACTS, tmp_path / "x.zip")
    finally:
        page.write_text(before)
        record(results)
    assert not list(tmp_path.iterdir())


def test_only_a_bundle_is_replaced(bundle, results, tmp_path):
    write_bundle(results, FACTS, bundle)
    assert is_bundle(bundle)
    (tmp_path / "mine.zip").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"mine.zip: is not a file that slim-bench wrote"):
        write_bundle(results, FACTS, tmp_path / "mine.zip")
    assert (tmp_path / "mine.zip").read_bytes() == b"mine"


def test_bundle_check_reports_success_and_errors(bundle, capsys):
    assert main(["bundle", "--check", str(bundle)]) == 0
    assert "files, all checksums match" in capsys.readouterr().out
    assert main(["bundle", "--check", str(bundle), "--out", "x.zip"]) == 2
    assert main(["bundle", "--check", "missing.zip"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "slim-bench: error: missing.zip: no such file"
