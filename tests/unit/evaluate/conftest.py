"""Features of folders are cached in a folder of the test, not in the user's."""

import pytest


@pytest.fixture(autouse=True)
def feature_cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("features")
    monkeypatch.setenv("SLIM_BENCH_CACHE", str(folder))
    return folder
