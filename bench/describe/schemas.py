"""JSON schemas of the files in config/. Editors use them to complete, explain and validate keys."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, TypeAdapter, create_model
from pydantic import Field as field

from bench.claims import ReportSettings
from bench.config import Scale, Settings, TaskScale, partial_model
from bench.data.catalogue import Catalogue
from bench.experiments import AblationGrid, Experiment
from bench.registry import MODELS, arguments
from bench.run import RECIPES
from bench.schema import Name, Strict
from bench.suites import Suite

SCHEMAS = Path("config/schemas")
DIALECT = "https://json-schema.org/draft/2020-12/schema"


LIMITS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems")
TYPE_KEYWORDS = ("type", "anyOf", "enum", "const", "items", "prefixItems", "pattern", *LIMITS)
"""Schema keywords that restrict a value instead of describing it."""


class ConfigFile(NamedTuple):
    """A file (or glob of files) in config/, its Pydantic model, and a one-line summary."""

    path: str
    kind: Any
    summary: str


def config_files() -> dict[str, ConfigFile]:
    """Return a mapping from schema name to configuration file."""
    files = {
        "config": (
            "config.yaml",
            Settings,
            "The most common settings; Snakemake's option `--config KEY=VALUE` takes precedence.",
        ),
        "scales": ("scales.yaml", dict[Name, Scale], "Sizes, budgets and seeds by scale."),
        "experiments": ("experiments.yaml", dict[Name, Experiment], "Experiments by name."),
        "ablations": ("ablations.yaml", dict[Name, AblationGrid], "Ablation grids by name."),
        "suite": ("suites/*.yaml", Suite, "Suites of runs; each file is a target of the workflow."),
        "datasets": ("datasets.yaml", Catalogue, "Datasets, and pretrained weights of metrics and losses."),
        "claims": ("claims.yaml", ReportSettings, "Pre-registered claims, comparisons and decision criteria."),
    }
    return {name: ConfigFile(*file) for name, file in files.items()}


def schema_file(name: str) -> Path:
    return SCHEMAS / f"{name}.json"


def schema_text(name: str) -> str:
    """Return the JSON schema of a file in config/, as text."""
    return json.dumps(schema_of(name), indent=1, ensure_ascii=False) + "\n"


def _scale() -> type[Strict]:
    """Return the Pydantic model of a scale with typed recipes. Experiments may set recipe keys, so all are optional."""
    tasks = {}
    for task, recipe in RECIPES.items():
        part = (partial_model(recipe), field({}, description=TaskScale.model_fields["recipe"].description))
        kind = create_model(f"Task_{task}", __base__=TaskScale, recipe=part)
        tasks[task] = (kind, field(description=Scale.model_fields[task].description))
    return create_model("Scale", __base__=Scale, **tasks)


def schema_of(name: str) -> dict[str, Any]:
    """Return the JSON schema of a file in config/: its model's schema, and the checks and shorthands of the loader."""
    file = config_files()[name]
    schema = _without_titles(TypeAdapter(dict[Name, _scale()] if name == "scales" else file.kind).json_schema())
    definitions = schema.get("$defs", {})
    if name == "config":
        settings = schema["properties"]  # shorthands: a single seed, and a path in place of a mapping
        settings["seeds"]["anyOf"].append({"type": "integer", "minimum": 0})
        folder = {"anyOf": [{"type": ["string", "integer"]}, {"$ref": "#/$defs/UserFolder"}]}
        settings["folder"]["anyOf"][0] = folder
        settings["folders"]["additionalProperties"] = folder
    if name == "datasets":
        del schema["properties"]["pins"]  # stored in data/pins.yaml
    if name == "experiments":
        _describe_network(definitions["ModelChoice"])
    if name == "ablations":
        definitions["ModelChange"]["properties"]["args"] |= _arguments(*RECIPES)
    recipes = _object_schema([partial_model(recipe) for recipe in RECIPES.values()])
    for part in ("Experiment", "Variant", "Variation"):
        if part in definitions:
            definitions[part]["properties"]["recipe"] |= recipes
    if name == "scales":
        for task in RECIPES:
            definitions[f"Task_{task}"]["properties"]["model"] |= _arguments(task)
        definitions["Variation"]["properties"]["model"] |= _arguments(*RECIPES)
    return {"$schema": DIALECT, "title": f"config/{file.path}", "description": file.summary, **schema}


def _describe_network(choice: dict[str, Any]) -> None:
    """Add the names and arguments of the registered networks to the schema of a network.

    An external network, module:name, accepts any arguments.
    """
    named = choice["properties"]["name"]
    kinds = [{"enum": [*MODELS, None]}, {"type": "string", "pattern": ":"}]
    choice["properties"]["name"] = {"anyOf": kinds, "default": None, "description": named["description"]}
    own = {"required": ["name"], "properties": {"name": {"type": "string", "pattern": ":"}}}
    choice |= {"if": own, "else": {"properties": {"args": _arguments(*RECIPES)}}}


def _arguments(*tasks: str) -> dict[str, Any]:
    """Return an object schema with the arguments of all networks for `tasks`."""
    return _object_schema([arguments(name) for name, entry in MODELS.items() if entry.task in tasks])


def _object_schema(models: list[type[BaseModel]]) -> dict[str, Any]:
    """Return an object schema with exactly the keys of `models`. A key accepts the types of all models that have it."""
    found: dict[str, list[dict[str, Any]]] = {}
    for model in models:
        for key, value in _without_titles(model.model_json_schema())["properties"].items():
            found.setdefault(key, []).append(value)
    merged = {}
    for key, values in found.items():
        bare = [{part: inner for part, inner in value.items() if part in TYPE_KEYWORDS} for value in values]
        forms = [form for index, form in enumerate(bare) if form not in bare[:index]]
        texts = dict.fromkeys(value["description"] for value in values if "description" in value)
        merged[key] = (forms[0] if len(forms) == 1 else {"anyOf": forms}) | {"description": "; or: ".join(texts)}
        if not texts:
            del merged[key]["description"]
    return {"type": "object", "additionalProperties": False, "properties": merged}


def _without_titles(schema: Any) -> Any:
    """Return a schema without titles, and without null defaults of keys that do not accept null.

    A schema with `patternProperties` rejects keys that match none of the patterns.
    """
    if isinstance(schema, list):
        return [_without_titles(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: value for key, value in schema.items() if key != "title" or not isinstance(value, str)}
    if result.get("default", ...) is None and {"type": "null"} not in result.get("anyOf", ()):
        del result["default"]
    if "patternProperties" in result:
        result["additionalProperties"] = False
    return {key: value if key == "default" else _without_titles(value) for key, value in result.items()}
