"""Model card of a run folder (README.md), generated only from run.json and model.json.

`bench.evaluate.scored_card` adds the scores.
"""

import re
from typing import Any

from bench.run import Run
from bench.terminal import escaped

CARD = "README.md"
"""Name of the model card in the folder of a run."""
MARK = "<!-- Written by slim-bench train, which overwrites this file unless it was edited. -->"
HEAD = re.compile(r"# \S+/\S+/seed\d+\n\n\| \| \|\n\|---\|---\|\n\| network \| `")
METADATA = re.compile(r"---\n(?:(?!---).*\n)*---\n\n")
OLD_ENDINGS = (
    "<!-- Written by slim-bench train; another training writes it again. -->",
    "for any use in which its output is taken for real.",
)
"""Final text of the model cards that earlier versions wrote."""

USE = {
    "fewshot": "slim-bench sample --model . -n 64 --seed 0 --out grid.png",
    "oneshot": "slim-bench sample --model . -n 16 --seed 0 --out grid.png",
    "classification": "slim-bench classify --model . image.png",
}


def model_card(run: Run, meta: dict[str, Any]) -> str:
    training = meta["training"]
    arguments = ", ".join(f"{key}={value}" for key, value in meta["model"]["args"].items())
    rows = {
        "network": f"`{meta['model']['name']}` {arguments}",
        "data": f"`{run.dataset}` (`{run.data.path}`, sha256 `{meta['data_sha256']}`)",
        "scale, seed": f"{run.scale}, {run.seed}",
        "status": meta["status"] if meta["reason"] is None else f"{meta['status']}: {meta['reason']}",
        "training": f"{training['steps']} {training['unit']}s in {training['seconds']:.0f} s on {training['device']}, "
        f"{training['precision']}, rollbacks: {len(training['rollbacks'])}",
        "weights": f"`model.safetensors`, sha256 `{meta['model_sha256']}`",
        "code": f"commit {meta['commit']}{' with local changes' if meta['dirty'] else ''}",
        "command": f"`{meta['command']}`",
    }
    table = "\n".join(f"| {key} | {value} |" for key, value in rows.items())
    return escaped(
        f"# {run.name}\n\n| | |\n|---|---|\n{table}\n\n"
        f"Use the model in this folder: `{USE[run.task]}`\n\n"
        "`run.json` contains the complete configuration; `slim-bench train --run run.json --out DIR` repeats the run. "
        "Scores with their protocol ids are in `scores/`. The licence of the data applies to the weights. The network "
        "was trained to compare methods. Do not present its output as real images.\n\n"
        f"{MARK}\n"
    )


def is_model_card(text: str) -> bool:
    """Return whether a README.md is an unedited model card, with no text added before or after it."""
    metadata = METADATA.match(text)
    body = text[metadata.end() :] if metadata else text
    return HEAD.match(body) is not None and text.rstrip().endswith((MARK, *OLD_ENDINGS))
