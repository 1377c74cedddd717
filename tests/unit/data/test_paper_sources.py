"""The sources of the paper's datasets: their addresses and hashes as literals, and a download of all from loopback."""

import random

import pytest

from bench.data import connection
from bench.data.catalogue import load_catalogue
from bench.data.fetch import fetch, fetch_dataset
from bench.data.prepare import prepare
from bench.data.selection import selected_names
from bench.data.sources import DataSettings, Hub, Manual
from bench.errors import InputError
from bench.files import read_text
from bench.plan import Plan
from bench.runtime.environment import OFFLINE
from tests.helpers import ROOT
from tests.helpers.loopback import loopback
from tests.helpers.paper_data import MANUAL, paper_project

HUB = {
    "100-shot-grumpy-cat": (
        "449f6cf788969037707841973e50af4fc359d33c",
        [(3027749, "7c7450253da20766bcbbe181b01d5f6201e87f0a934298be7b1dc056027853ef")],
    ),
    "100-shot-panda": ("a00d53a1610308b4b1e9ee56ffa1eb46fc84d431", [(2404697, None)]),
    "animalface-dog": ("6eee6bb6aed1951defc2c7b121d8edcce8f17e61", [(9012058, None)]),
    "art-painting": ("8a5703aaa3e4c84d38be24c61e535b11b6c34b9c", [(None, None), (None, None)]),
    "pokemon": ("d5aca3bdb21bff3e20c0e78b614fa114477118fc", [(None, None)]),
    "anime-face": (
        "4764b7f983ff1f9e1aa2d23f327391305ffcd5cd",
        [(7812350, "e4ba6434c0fed7390113a446084836474d55d2cf6c8b9521c9171b47d59dde17")],
    ),
    "skulls": (
        "b5ca7c56e999a43c4fb58ce4c48420a80e034ea4",
        [(13254012, "b8855bf587f6d7b460226323d8afcd766f26e00dfc4245977c147040b6c76eb3")],
    ),
    "shells": ("90f5ae19542d0e5fe7725a5d3b9adc58e7b03bac", [(6723022, None)]),
}
"""Dataset -> revision, and size and sha256 of each parquet file, if known."""
SINGAN = {
    "balloons.png": (71276, "209e831b8765835146419042d21994a9c33f550f00dbe2eb16836b6708f10a09"),
    "birds.png": (43378, "29357167515be400f409aa62fe0474a5c965138c42a7f352a2f18076e823136a"),
    "colusseum.png": (103514, "f8fe8f58e22bedd155b0ecfecd9353776847c0a7b1a5dc775517bda56672f872"),
    "cows.png": (88820, "290ef9fd789ce06d20f885eafd0818fd517221b02f47ff51ba6cdd7a162419ef"),
    "mountains.jpg": (258929, "fc0e4916ee3e3586a76990d53b963780136b4794521a93a55c76dcf00d6142f1"),
    "starry_night.png": (130757, "44a49c5938e9ce961134387a79ee0821f1690fe37f3b64a5aa47ff06840cad24"),
    "tree.png": (114786, "8f33f6d1abebe330ec08b5d8fde0bc6e0d139a1fa9945ff0a81a7f581483f8ee"),
    "volacano.png": (64142, "4ea25a099cad1938ccdc7eca70d12fa392b888141f70dcf3b0fc27a49e7e267e"),
    "zebra.png": (420369, "d7f8789f13f909254f1161abbe4c799136b4cae80343f497b94944754d3860e1"),
    "angkorwat.jpg": (85315, "64a2dcb9deaf6d3121faad4e6ed2f372cfc1c48c1985303015c9f90a3e4755fe"),
}
GIT = "https://raw.githubusercontent.com"
SINGAN_AT = [
    f"{GIT}/tamarott/SinGAN/e1384a9f6dfa45497f4aed5f3e52466d4200fcfb/Input/Images",
    f"{GIT}/lior1990/SinGAN/21cb8adcab60a438279c788844b5c9689dbee8b4/Input/Images",
]
CONSINGAN_AT = [f"{GIT}/tohinz/ConSinGAN/8b4681fc47796dacf0b229e50214b2c36fec860b/Images/Generation"]


@pytest.fixture(scope="module")
def catalogue():
    return load_catalogue(ROOT)


@pytest.fixture(scope="module")
def paper_datasets():
    plan = Plan.load({})
    return sorted({run.dataset for run in plan.runs("paper")})


def test_the_hub_provides_eight_datasets_at_full_commits(catalogue):
    found = {name: entry.sources[0] for name, entry in catalogue.datasets.items() if isinstance(entry.sources[0], Hub)}
    assert found.keys() == HUB.keys()
    for name, (revision, files) in HUB.items():
        source = found[name]
        assert (source.revision, [(file.bytes, file.sha256) for file in source.files]) == (revision, files)
        assert source.repo.startswith("huggan/few-shot-")
    shards = [file.path for file in found["art-painting"].files]
    assert shards == [f"data/train-0000{index}-of-00002.parquet" for index in range(2)]


def test_ten_one_shot_images_are_at_fixed_commits(catalogue):
    for file, (size, sha256) in SINGAN.items():
        name = "singan-" + file.split(".")[0].replace("_", "-")
        *sources, last = catalogue.dataset(name).sources
        assert [source.files[0].url for source in sources] == [
            f"{place}/{file}" for place in (CONSINGAN_AT if file == "angkorwat.jpg" else SINGAN_AT)
        ]
        assert {(source.files[0].bytes, source.files[0].sha256) for source in sources} == {(size, sha256)}
        assert isinstance(last, Manual)


def test_the_origin_of_two_images_is_stated_as_likely(catalogue):
    for name, origin in {"singan-brandenberg": "brandenburg.jpg", "singan-bridge": "heidelberg-bridge.jpg"}.items():
        (source,) = catalogue.dataset(name).sources
        assert "likely (not certain)" in source.how and origin in source.how
    assert catalogue.find_weights("inception-torchvision").sha256 == (
        "0cc3c7bd75056d25e46cba549dc184522069b81e9787eff6df84f397bd52a5ef"
    )


def test_the_list_of_flowers_is_drawn_with_the_documented_seed(catalogue):
    entry = catalogue.dataset("flower-1k")
    drawn = sorted(random.Random(0).sample(range(1, 8190), 1000))
    names = [f"image_{number:05d}.jpg" for number in drawn]
    assert read_text(ROOT / entry.preparation.names.file).split() == names
    assert selected_names(entry.preparation, ROOT)([f"image_{number:05d}.jpg" for number in range(1, 8190)]) == names
    assert entry.sources[0].files[0].md5 == "52808999861908f626f3c1f4e79d11fa"


def test_datasets_with_a_source_are_fetched_and_others_are_listed(tmp_path, monkeypatch, paper_datasets):
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", OFFLINE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(connection.time, "sleep", lambda _: None)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    assert len(paper_datasets) == 27
    settings = DataSettings(trust_first_use=True)
    with loopback() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        root = paper_project(tmp_path / "project", server)
        catalogue, failed = load_catalogue(root), set()
        for name in paper_datasets:
            try:
                fetch_dataset(name, catalogue, root, settings=settings)
            except InputError as error:
                assert "manual installation is required" in str(error)
                failed.add(name)
        assert failed == MANUAL
        count = len(server.requests)
        for name in set(paper_datasets) - MANUAL:
            fetch_dataset(name, catalogue, root, settings=settings)
        assert len(server.requests) == count, "a second fetch asks for nothing"
    assert prepare("singan-balloons", None, root=root).n == 1


def test_the_error_of_unpinned_datasets_names_the_setting(tmp_path):
    with loopback() as server:
        root = paper_project(tmp_path / "project", server)
        for name in ("100-shot-obama", "animalface-cat"):
            with pytest.raises(InputError, match=r"no checksum is published.*data\.trust_first_use"):
                fetch(name, root)
        assert not server.requests
