"""slim-bench data: list, show, fetch, check and pin, with the catalogue of this project on a loopback server."""

import io
import json
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from bench.cli import main
from bench.commands import datasets
from bench.data import connection
from bench.data.pointers import pointer_of
from bench.files import sha256_bytes
from bench.runtime.environment import OFFLINE
from tests.helpers import ROOT
from tests.helpers.data_project import image_folder, random_image, tar_bytes
from tests.helpers.loopback import Loopback, loopback

ALONE = {"singan-brandenberg", "singan-bridge", "singan-golden-gate", "singan-tower", "imagenet", "ffhq-1k"}
"""Datasets of the paper that no public copy provides."""


def zip_bytes(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("1.txt", name)
    return buffer.getvalue()


def content_of(name: str) -> bytes:
    """Return a small file with the suffix of `name`."""
    if name.endswith(".zip"):
        return zip_bytes(name)
    if name.endswith((".tgz", ".tar.gz")):
        return tar_bytes({"1.txt": name.encode()}, "w:gz")
    if name.endswith((".png", ".jpg")):
        buffer = io.BytesIO()
        random_image(seed=len(name)).save(buffer, "PNG" if name.endswith(".png") else "JPEG")
        return buffer.getvalue()
    return name.encode() * 100


def on_loopback(server: Loopback, entries: dict) -> None:
    """Replace the addresses and pins of a catalogue by files on `server`. Published pins remain pins."""
    for entry in entries.values():
        for source in entry.get("sources") or [entry["source"]]:
            for file in source.get("files", ()):
                content = content_of(file["name"])
                for key, value in (("sha256", sha256_bytes(content)), ("bytes", len(content))):
                    if key in file:
                        file[key] = value
                if file.pop("md5", None):
                    file["sha256"] = sha256_bytes(content)
                if source["kind"] == "hub":
                    server.add_hub(source["repo"], source["revision"], file["path"], content)
                elif "url" in file:
                    path = urlsplit(file["url"]).path
                    server.files[path] = content
                    file["url"] = server.url + path


@pytest.fixture
def paper(project, monkeypatch):
    """Yield the loopback server of a project with the paper's datasets. The project is the current folder."""
    monkeypatch.chdir(project)
    monkeypatch.delenv(OFFLINE, raising=False)
    monkeypatch.setattr(connection.time, "sleep", lambda _: None)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(project / "hub"))
    catalogue = yaml.safe_load((project / "config/datasets.yaml").read_text())
    with loopback() as server:
        on_loopback(server, catalogue["datasets"])
        (project / "config/datasets.yaml").write_text(yaml.safe_dump(catalogue, sort_keys=False))
        (project / ".dvc").mkdir()
        (project / ".dvc/config").write_text((ROOT / ".dvc/config").read_text())
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def test_one_command_fetches_the_datasets_of_the_paper(paper, capsys):
    assert main(["data", "fetch", "--suite", "paper", "--trust-first-use"]) == 2
    captured = capsys.readouterr()
    missing = captured.err.splitlines()[-1].partition("missing: ")[2].partition(";")[0].split(", ")
    assert set(missing) == ALONE
    for name in ALONE:
        assert any(f"{name}: " in line and "manual installation" in line for line in captured.err.splitlines()), name
    assert "Traceback" not in captured.err
    count, start = len(paper.requests), time.process_time()
    assert main(["data", "fetch", "--suite", "paper", "--trust-first-use"]) == 2
    assert len(paper.requests) == count and time.process_time() - start < 5
    assert main(["data", "fetch", "--suite", "paper"]) == 2, "the first use has pinned files without a checksum"
    assert len(paper.requests) == count
    capsys.readouterr()
    assert main(["data", "list", "--suite", "paper", "--json"]) == 0
    states = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert {name for name, entry in states.items() if entry["state"] != "here"} == ALONE
    assert all(entry["bytes"] > 0 for name, entry in states.items() if name not in ALONE)
    assert main(["data", "check"]) == 0
    assert {line.partition(": ")[2] for line in capsys.readouterr().out.splitlines()} == {"ok"}
    for pointer in Path("data/sources").glob("*.dvc"):
        assert pointer_of(pointer.with_suffix("")).meta["source"].startswith(("hf://", "http://")), pointer


def test_a_changed_source_is_refused_and_named(paper, capsys):
    assert main(["data", "fetch", "--trust-first-use", "100-shot-obama", "photo-coffee"]) == 2
    assert "photo-coffee" in capsys.readouterr().err.splitlines()[-1], "this project has no shipped files"
    (file,) = Path("data/sources").glob("*obama*.dvc")
    before, archive = file.read_bytes(), file.with_suffix("")
    archive.unlink()
    for stored in Path(".dvc/cache").rglob("*"):
        stored.is_file() and stored.unlink()
    for path in paper.files:
        paper.files[path] = zip_bytes("changed")
    assert main(["data", "fetch", "--trust-first-use", "100-shot-obama"]) == 2
    message = capsys.readouterr().err
    assert "is expected" in message and not archive.exists() and file.read_bytes() == before
    assert main(["data", "pin", "100-shot-obama"]) == 2
    assert "not here" in capsys.readouterr().err
    archive.write_bytes(zip_bytes("changed"))
    assert main(["data", "pin", "100-shot-obama"]) == 2
    assert "data pin 100-shot-obama --replace" in capsys.readouterr().err
    assert main(["data", "check", "100-shot-obama", "--json"]) == 2
    (report,) = json.loads(capsys.readouterr().out)
    assert (report["name"], report["ok"], len(report["problems"])) == ("100-shot-obama", False, 1)
    assert main(["data", "pin", "100-shot-obama", "--replace"]) == 0
    assert main(["data", "check"]) == 0


def test_an_installed_folder_is_recorded_by_pin(paper, capsys):
    assert main(["data", "pin"]) == 0, "no dataset exists"
    image_folder(Path("data/sources/ffhq-1k"))
    assert main(["data", "check", "ffhq-1k"]) == 2
    assert "not recorded" in capsys.readouterr().out
    assert main(["data", "pin"]) == 0
    assert "[1/1] ffhq-1k: recorded" in capsys.readouterr().out
    assert main(["data", "check"]) == 0
    assert main(["data", "list"]) == 0
    assert "data/sources/ffhq-1k" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fetch"], "give the names of datasets, or --suite NAME"),
        (["fetch", "100-shot-obam"], "did you mean '100-shot-obama'"),
        (["fetch", "--suite", "papr"], "suite"),
        (["list", "--suite", "papr"], "suite"),
        (["show", "no\x1b[31m"], r"no\x1b[31m"),
        (["check", "nothing"], "not in config/datasets.yaml"),
        (["pin", "nothing"], "not in config/datasets.yaml"),
    ],
)
def test_a_wrong_name_gives_a_one_line_error(paper, capsys, words, message):
    assert main(["data", *words]) == 2
    found = capsys.readouterr().err
    assert message in found and "\x1b" not in found and len(found.splitlines()) == 1
    assert not paper.requests


def test_show_describes_a_dataset_of_each_kind(paper, capsys):
    for name in ("fashion-mnist", "100-shot-obama", "skulls", "singan-tree", "imagenet"):
        assert main(["data", "show", name]) == 0
        text = capsys.readouterr().out
        assert text.splitlines()[0] == name and "licence:" in text and "source 1:" in text
        assert main(["data", "show", name, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["name"] == name


def test_every_action_has_help(capsys):
    for words in (["data"], *(["data", action] for action in ("list", "show", "fetch", "check", "pin"))):
        with pytest.raises(SystemExit) as end:
            main([*words, "--help"])
        assert end.value.code == 0
        assert len(capsys.readouterr().out.splitlines()) > 6
    assert "dvc push" in datasets.EPILOG


def test_listing_imports_no_large_package():
    large = {"torch", "pandas", "dvc", "pyarrow", "huggingface_hub", "scipy", "numpy"}
    code = (
        f"import sys; from bench.cli import main; main(['data', 'list']); print(sorted({large} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
