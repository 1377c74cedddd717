"""The report reads audit records, and the catalogue for datasets that were not audited."""

import json

import pytest
from PIL import Image

from bench.data.audit_job import record_audit
from bench.data.audit_record import audit_path, thumbnails_path
from bench.report.figures.image_grids import labelled_thumbnails
from bench.report.read.audits import read_used_datasets
from bench.report.tables.data import data_records, data_table
from tests.helpers.data_project import image_folder, make_project, random_image
from tests.helpers.report_fixture import collected, run_description, write_run, write_score

ENTRY = {
    "source": {"kind": "folder", "path": "../images"},
    "n": 5,
    "licence": "MIT",
    "terms": "Copyright A",
    "citation": "A. Author. A dataset",
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    root = make_project(tmp_path / "project", a=ENTRY, b=ENTRY)
    folder = image_folder(tmp_path / "images", 3, (70, 70))
    random_image(70, 70, seed=1).save(folder / "copy.bmp")
    monkeypatch.chdir(root)
    for name in ("a", "b", "gone"):
        run = run_description("tiny", "fewshot", "fastgan-sle", name, 0, ["params"])
        write_score(write_run(root / "results/tiny", run), "params", 1.0)
    record_audit("a", 64, audit_path("data/prepared/a-64"), root)
    return root


def used(root):
    scale_dir = root / "results/tiny"
    return {found.name: found for found in read_used_datasets(collected(scale_dir), scale_dir, root / "config")}


def test_audited_and_unaudited_datasets_are_described(project):
    found = used(project)
    assert found["a"].facts == {
        "Source": "a folder or file of the user (images)",
        "Licence": "MIT; Copyright A",
        "Citation": "A. Author. A dataset",
        "Preparation": "centre crop to 64 px, lanczos filter with antialiasing; RGB, on #ffffff if transparent",
    }
    assert found["b"].facts == found["a"].facts and found["b"].record is None
    assert (found["gone"].title, found["gone"].facts) == ("gone", {})


def test_the_table_counts_problems_and_names_unaudited_datasets(project):
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in data_table(list(used(project).values())).rows}
    #                    images catalogue pixels, then truncated to other problems, then the four kinds of duplicates
    assert rows["a"] == ["4", "5", "70×70", *"00000", *"1000"]
    assert rows["b"][0] == rows["gone"][0] == "NOT AUDITED"
    records = data_records(list(used(project).values()))
    assert [record["dataset"] for record in records] == ["a", "b", "gone"]
    assert records[0]["citation"] == "A. Author. A dataset" and records[2]["licence"] == ""


def test_a_damaged_record_is_ignored(project):
    path = audit_path("data/prepared/a-64")
    path.write_text(json.dumps({"format": 1}))
    assert used(project)["a"].record is None


def test_the_image_grid_has_a_row_per_split(tmp_path):
    path = thumbnails_path(tmp_path / "a.audit.json")
    Image.new("RGB", (12 * 28, 2 * 28), "red").save(path)
    grid = labelled_thumbnails(path, ("training images", "test images"))
    assert grid is not None and grid.width == 12 * 84 + 4  # enlarged by a whole factor, plus a gap
    assert labelled_thumbnails(tmp_path / "missing.png", ("images",)) is None
    assert labelled_thumbnails(path, ("a", "b", "c")) is None
