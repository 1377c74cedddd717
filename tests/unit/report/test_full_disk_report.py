"""report on a full disk gives a one-line error and no incomplete file. The next report replaces its files."""

from bench.cli import main
from bench.files import read_json
from bench.input_hashes import RENDERED
from tests.helpers.full_disk import files_in, fill, free, mounted
from tests.helpers.report_fixture import make_results


def test_report_on_a_full_disk(project, monkeypatch, capsys):
    monkeypatch.chdir(project)
    with mounted(project / "results", "size=8m") as results:
        demo = make_results(project, seeds=1)
        assert main(["collect"]) == 0
        for room in (0, 100_000):
            fill(results, leave=room)
            assert main(["report"]) == 2
            *_, message = capsys.readouterr().err.splitlines()
            assert message.startswith("slim-bench: error: results/demo") and "No space left on device for" in message
            assert not [name for name in files_in(results) if name.endswith(".part")]
            free(results)
        assert read_json(demo / RENDERED)["writing"], "existing files count as an interrupted report"
        assert main(["report"]) == 0
        assert read_json(demo / RENDERED)["files"].keys() >= {"tables/summary.csv", "report/index.html"}
