"""Model cards: valid metadata of the Hugging Face Hub, only after the evaluation, and never over an edited card."""

import pytest
from huggingface_hub import ModelCard

from bench.card import is_model_card, model_card
from bench.cli import main
from bench.evaluate.scored_card import scored_card
from bench.files import read_json, write_json
from bench.run import write_run
from tests.helpers import metric_runs


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """Create a finished run with its model card, as training writes it."""
    run, folder = metric_runs.fewshot(tmp_path, ("params", "macs"))
    write_run(folder / "run.json", run)
    training = {"steps": 1, "unit": "step", "seconds": 1.0, "device": "cpu", "precision": "float32", "rollbacks": []}
    record = {"reason": None, "commit": "c", "dirty": False, "command": "slim-bench train", "training": training}
    meta = read_json(folder / "model.json") | record
    write_json(folder / "model.json", meta)
    (folder / "README.md").write_text(model_card(run, meta))
    monkeypatch.chdir(tmp_path)
    return run, folder, meta


def test_evaluation_adds_scores_and_metadata(trained):
    run, folder, _ = trained
    assert main(["evaluate", "--run", str(folder / "run.json")]) == 0
    text = (folder / "README.md").read_text()
    data = ModelCard(text).data
    assert data.datasets == [run.dataset] and data.license and data.pipeline_tag == "unconditional-image-generation"
    results = {result.metric_type: result for result in data.eval_results}
    assert set(results) == {"params", "macs"} and results["params"].metric_value > 0
    assert results["params"].metric_config.startswith("params/")
    assert is_model_card(text) and "| params | last |" in text
    assert main(["evaluate", "--run", str(folder / "run.json")]) == 0
    assert (folder / "README.md").read_text() == text


@pytest.mark.parametrize("edit", [lambda text: text + "\nMy notes.\n", lambda text: "My notes.\n" + text])
def test_an_edited_card_is_kept(trained, edit):
    _, folder, _ = trained
    path = folder / "README.md"
    path.write_text(edit(path.read_text()))
    before = path.read_text()
    assert main(["evaluate", "--run", str(folder / "run.json")]) == 0
    assert path.read_text() == before


def test_scores_in_another_folder_do_not_change_the_card(trained):
    _, folder, _ = trained
    before = (folder / "README.md").read_text()
    assert main(["evaluate", "--run", str(folder / "run.json"), "--out", "elsewhere"]) == 0
    assert (folder / "README.md").read_text() == before


@pytest.mark.parametrize(
    ("licence", "known"), [("MIT", "mit"), ("CC0 1.0 (photograph by A. B.)", "other"), ("x: [y] # 'z'", "other")]
)
def test_licences_are_ids_of_the_hub_or_other_with_a_name(trained, licence, known):
    run, _, meta = trained
    card = scored_card(run, meta, licence, [])
    data = ModelCard(card).data
    assert data.license == known and (known != "other" or data.license_name == licence)
    assert is_model_card(card)
