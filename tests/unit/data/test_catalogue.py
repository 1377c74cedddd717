"""The catalogue is complete, strictly validated, and read without torch."""

import importlib.util
import subprocess
import sys

import pytest
import yaml

from bench.data.catalogue import load_catalogue, prepared_path
from bench.data.pointers import pointer_of
from bench.data.sources import Manual, Shipped
from bench.errors import InputError
from bench.files import read_yaml, sha256_bytes, sha256_file
from tests.helpers import ROOT
from tests.helpers.data_project import make_project

PAPER_SETS = {
    *("100-shot-obama", "100-shot-grumpy-cat", "100-shot-panda", "animalface-cat", "animalface-dog"),
    *("art-painting", "ffhq-1k", "flower-1k", "pokemon", "anime-face", "skulls", "shells"),
    *("singan-brandenberg", "singan-bridge", "singan-golden-gate", "singan-tower", "singan-angkorwat"),
    *("singan-mountains", "singan-balloons", "singan-birds", "singan-colusseum", "singan-starry-night"),
    *("singan-tree", "singan-cows", "singan-volacano", "singan-zebra"),
    *("imagenet", "imagenette2", "imagenette2-320", "imagenette2-160", "cifar-10", "cifar-100"),
}


@pytest.fixture(scope="module")
def catalogue():
    return load_catalogue(ROOT)


def test_catalogue_has_every_dataset_of_the_paper(catalogue):
    assert set(catalogue.datasets) >= PAPER_SETS
    assert catalogue.dataset("animalface-dog").n == 389
    md5 = {file.name: file.md5 for file in catalogue.dataset("imagenet").manual.files}
    assert md5["ILSVRC2012_img_val.tar"] == "29b22e2961454d5413ddabcf34fc5622"


def test_every_dataset_has_a_citation(catalogue):
    for name, entry in catalogue.datasets.items():
        assert entry.citation and "\n" not in entry.citation, name


def test_shipped_datasets_have_pointer_pin_and_object(catalogue):
    shipped = [entry.source.file for entry in catalogue.datasets.values() if isinstance(entry.source, Shipped)]
    assert len(shipped) >= 7
    for file in shipped:
        md5 = read_yaml(ROOT / file.pointer)["outs"][0]["md5"]
        assert pointer_of(ROOT / file.local).sha256 == file.sha256
        stored = ROOT / "data/shipped/files/md5" / md5[:2] / md5[2:]
        assert sha256_file(stored) == file.sha256
        assert stored.stat().st_size == file.bytes


def test_shipped_archives_equal_those_built_by_the_tool(catalogue):
    spec = importlib.util.spec_from_file_location("build_shipped_data", ROOT / "tools/build_shipped_data.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    photographs = catalogue.dataset("photo-coffee").source.file
    assert sha256_bytes(tool.tar(tool.photographs())) == photographs.sha256
    assert sha256_bytes(tool.lpips_heads()) == catalogue.find_weights("lpips-vgg16-heads").sha256


def test_shipped_data_stay_under_eight_megabytes():
    assert sum(path.stat().st_size for path in (ROOT / "data/shipped").rglob("*") if path.is_file()) < 8_000_000


def test_google_drive_is_never_fetched_automatically(catalogue):
    for name, entry in catalogue.datasets.items():
        for source in entry.sources:
            if "Google Drive" in getattr(source, "how", ""):
                assert isinstance(source, Manual), name
            assert not any("drive.google" in str(file.url) for file in source.files), name


def test_every_shipped_work_has_its_notice(catalogue):
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    for entry in catalogue.datasets.values():
        if isinstance(entry.source, Shipped):
            assert entry.source.file.name in notice
            if entry.task == "oneshot":
                assert entry.preparation.members in notice


def test_config_is_read_without_torch():
    code = "import sys, bench.data.catalogue as c; c.load_catalogue(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_unknown_name_is_refused_with_the_nearest(catalogue):
    with pytest.raises(InputError, match=r"'fluent-emoji'.*did you mean 'fluent-emoji-100'"):
        catalogue.dataset("fluent-emoji")
    with pytest.raises(InputError, match=r"did you mean 'vgg16-torchvision'"):
        catalogue.find_weights("vgg16-torchvison")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tasks": "fewshot"}, r"a\.tasks.*did you mean 'task'"),
        ({"source": {"kind": "folder", "path": "x", "pathh": "y"}}, r"a\.source.*pathh.*did you mean 'path'"),
        ({"n": -1}, r"a\.n: "),
        ({"task": "classification"}, r"layout 'images' is not valid for task 'classification'"),
        ({"source": {"kind": "download", "files": [{"name": "../x", "url": "http://a/b"}]}}, r"files\.0\.name"),
        ({"source": {"kind": "download", "files": [{"name": "x", "url": "file:///etc/passwd"}]}}, r"files\.0\.url"),
    ],
)
def test_a_wrong_entry_gives_a_one_line_error_with_the_key(tmp_path, change, message):
    root = make_project(tmp_path, a={"source": {"kind": "folder", "path": "x"}} | change)
    with pytest.raises(InputError, match=message) as error:
        load_catalogue(root)
    assert "\n" not in str(error.value)
    assert "config/datasets.yaml" in str(error.value)


def test_a_key_given_twice_is_refused(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("x: 1\ny: 2\nx: 3\n")
    with pytest.raises(InputError, match=r"a\.yaml.*'x' occurs twice.*line 3"):
        read_yaml(file)


@pytest.mark.parametrize(
    ("text", "message"), [("a: [1", "not YAML"), ("- 1", "expected a mapping"), (None, "no such file")]
)
def test_a_file_that_is_not_a_yaml_mapping_is_refused(tmp_path, text, message):
    file = tmp_path / "a.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(InputError, match=message):
        read_yaml(file)


def test_own_folder_becomes_a_dataset(tmp_path):
    root = make_project(tmp_path)
    entry = load_catalogue(root, {"my-cats": {"path": "cats"}}).dataset("my-cats")
    assert (entry.task, entry.layout, entry.preparation.fit) == ("fewshot", "images", "crop")
    entry = load_catalogue(root, {"d": {"path": "digits.npz", "task": "classification"}}).dataset("d")
    assert entry.layout == "npz"
    with pytest.raises(InputError, match=r"folders\.my-cats: pth.*did you mean 'path'"):
        load_catalogue(root, {"my-cats": {"pth": "cats"}})


def test_user_folder_cannot_have_the_name_of_a_dataset(tmp_path):
    root = make_project(tmp_path, cats={"source": {"kind": "folder", "path": "x"}})
    with pytest.raises(InputError, match=r"folders\.cats: .*another"):
        load_catalogue(root, {"cats": {"path": "y"}})


def test_recorded_checksums_do_not_change_the_hash_of_runs(tmp_path):
    file = {"name": "a.zip", "url": "http://localhost/a.zip"}
    root = make_project(tmp_path, a={"source": {"kind": "download", "files": [file]}})
    (root / "data/pins.yaml").write_text(yaml.safe_dump({"a.zip": "0" * 64}))
    assert load_catalogue(root).pins == {"a.zip": "0" * 64}
    assert load_catalogue(root).source_sha256("a") is None
    (root / "data/pins.yaml").write_text(yaml.safe_dump({"a.zip": "not-a-hash"}))
    with pytest.raises(InputError, match=r"pins"):
        load_catalogue(root)


def test_the_recorded_archive_of_installed_images_is_a_source(tmp_path):
    manual = {"kind": "manual", "place": "mine", "how": "ask for it"}
    root = make_project(tmp_path, a={"source": manual})
    assert [source.kind for source in load_catalogue(root).dataset("a").sources] == ["manual"]
    (root / "data/sources/a-installed.tar.dvc").write_text("outs:\n- path: a-installed.tar\n")
    assert [source.kind for source in load_catalogue(root).dataset("a").sources] == ["dvc", "manual"]
    assert load_catalogue(root).source_sha256("a") is None


def test_prepared_path_contains_name_and_size():
    assert prepared_path("a", 64).as_posix() == "data/prepared/a-64"
    assert prepared_path("a", None).as_posix() == "data/prepared/a-full"
