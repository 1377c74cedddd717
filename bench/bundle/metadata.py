"""Metadata of a bundle: an RO-Crate description (www.researchobject.org/ro-crate), .zenodo.json and a README."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bench.files import read_yaml
from bench.paths import PROJECT

RO_CRATE, ZENODO, README = "ro-crate-metadata.json", ".zenodo.json", "README.md"
PAPER = "https://arxiv.org/abs/2112.14804"
LICENCES = {"MIT": "https://spdx.org/licenses/MIT"}
DESCRIBED = {
    "results/report/index.html": ("Report page", "text/html"),
    "results/scores.csv": ("All scores: one row per run, metric and weights", "text/csv"),
    "results/metrics.json": ("Mean scores by metric and protocol", "application/json"),
    "requirements.lock": ("Versions and hashes of all Python packages", "text/plain"),
    "SHA256SUMS": ("Checksums of all other files", "text/plain"),
}
FOLDERS = {
    "results/runs/": "Configuration, training record, history and scores of each run",
    "results/tables/": "Tables of the report as CSV, Markdown and LaTeX",
    "results/figures/": "Figures of the report",
    "config/": "Datasets, experiments, scales, suites and claims",
}


@dataclass(frozen=True)
class Facts:
    """Facts about the results that the metadata state. `commits`: commits of the code that computed the scores."""

    scale: str
    commits: tuple[str, ...]
    runs: int
    scores: int

    @property
    def title(self) -> str:
        return f"slim-bench results, {self.scale} scale"

    @property
    def description(self) -> str:
        commits = ", ".join(self.commits) or "unknown"
        return (
            f"Scores, tables, figures and configuration of {self.runs} runs at the {self.scale} scale of slim-bench, a "
            "benchmark of SLIM (arXiv 2112.14804) and its baselines. "
            f"{self.scores} scores, computed at commit {commits}."
        )


def ro_crate(facts: Facts, names: Sequence[str]) -> bytes:
    """Return ro-crate-metadata.json for an archive with the files `names`."""
    from rocrate.model.person import Person
    from rocrate.rocrate import ROCrate

    citation = read_yaml(PROJECT / "CITATION.cff")
    crate = ROCrate()
    crate.name, crate.description = facts.title, facts.description
    crate.license = LICENCES.get(citation["license"], citation["license"])
    crate.datePublished = datetime.now(UTC).replace(microsecond=0)
    crate.creator = [
        crate.add(Person(crate, f"#author-{index}", properties={"name": author_name(author)}))
        for index, author in enumerate(citation["authors"], 1)
    ]
    crate.root_dataset["version"] = str(citation["version"])
    crate.root_dataset["isBasedOn"] = {"@id": PAPER}
    crate.add_jsonld({"@id": PAPER, "@type": "ScholarlyArticle", "name": citation["references"][0]["title"]})
    for name, (title, encoding) in DESCRIBED.items():
        if name in names or name == "SHA256SUMS":
            crate.add_file(dest_path=name, properties={"name": title, "encodingFormat": encoding})
    for folder, title in FOLDERS.items():
        if any(name.startswith(folder) for name in names):
            crate.add_dataset(dest_path=folder, properties={"name": title})
    return _json(crate.metadata.generate())


def zenodo(facts: Facts) -> bytes:
    """Return .zenodo.json, the metadata of a deposit on Zenodo."""
    citation = read_yaml(PROJECT / "CITATION.cff")
    return _json(
        {
            "title": facts.title,
            "upload_type": "dataset",
            "description": facts.description,
            "creators": [{"name": author_name(author)} for author in citation["authors"]],
            "license": citation["license"].lower(),
            "version": str(citation["version"]),
            "keywords": ["benchmark", "reproducibility", "image synthesis", "image classification", "FID"],
            "related_identifiers": [{"identifier": PAPER, "relation": "references", "resource_type": "publication"}],
        }
    )


def readme(facts: Facts, archive: str) -> bytes:
    return (
        f"# {facts.title}\n\n{facts.description}\n\n"
        "- `results/report/index.html` is the report. Open it in a browser; it needs no network.\n"
        "- `results/scores.csv` lists all scores, with protocol ids, hashes and status.\n"
        "- `results/runs/` contains the configuration and the scores of each run, without weights and images.\n"
        "- `config/` and `requirements.lock` belong to the code that wrote this archive.\n\n"
        "Verify the checksums with `sha256sum -c SHA256SUMS` in this folder, or with\n"
        f"`slim-bench bundle --check {archive}`.\n"
    ).encode()


def author_name(author: dict[str, Any]) -> str:
    """Return the name of an author in CITATION.cff, as `family, given` for a person."""
    return author.get("name") or ", ".join(filter(None, (author.get("family-names"), author.get("given-names"))))


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()
