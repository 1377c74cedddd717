"""Adds the scores to a model card: a table, and metadata in the form of the Hugging Face Hub."""

from collections.abc import Sequence
from typing import Any

from bench.card import model_card
from bench.run import Run
from bench.score import Score
from bench.terminal import escaped

HUB_LICENCES = {"MIT": "mit", "Apache-2.0": "apache-2.0", "BSD-3-Clause": "bsd-3-clause", "CC BY 4.0": "cc-by-4.0"}
"""Licence in the dataset catalogue -> id on the Hub. Other licences have the id `other` and their text as the name."""
HUB_TASKS = {
    "fewshot": "unconditional-image-generation",
    "oneshot": "unconditional-image-generation",
    "classification": "image-classification",
}


def scored_card(run: Run, meta: dict[str, Any], licence: str, scores: Sequence[Score]) -> str:
    """Return the model card with metadata and a table of the scores of `last` and `best` weights that have a value.

    `licence`: licence of the training images, which also applies to the weights.
    """
    listed = [score for score in scores if score.value is not None and score.weights in ("last", "best")]
    rows = [
        f"| {score.metric} | {score.weights} | {score.value:.6g} | {score.n or ''} | `{score.protocol}` |"
        for score in listed
    ]
    table = "\n".join(["| metric | weights | value | n | protocol |", "|---|---|---:|---:|---|", *rows])
    head, *rest = model_card(run, meta).partition("\nUse the model in this folder")
    return f"---\n{_metadata(run, licence, listed)}---\n\n{head}\n{escaped(table)}\n{''.join(rest)}"


def _metadata(run: Run, licence: str, scores: Sequence[Score]) -> str:
    """Return the metadata as YAML, in the form of the Hub's model cards."""
    from huggingface_hub import EvalResult, ModelCardData

    hub = HUB_LICENCES.get(licence)
    results = [
        EvalResult(
            task_type=HUB_TASKS[run.task],
            dataset_type=run.dataset,
            dataset_name=run.dataset,
            metric_type=score.metric,
            metric_value=score.value,
            metric_name=f"{score.metric} ({score.weights} weights)",
            metric_config=score.protocol,
        )
        for score in scores
    ]
    data = ModelCardData(
        license=hub or "other",
        license_name=None if hub else escaped(licence),
        model_name=run.name,
        datasets=[run.dataset],
        metrics=sorted({score.metric for score in scores}),
        pipeline_tag=HUB_TASKS[run.task],
        library_name="slim-bench",
        tags=["slim-bench", run.experiment, "arxiv:2112.14804"],
        eval_results=results or None,
    )
    return data.to_yaml().rstrip("\n") + "\n"
