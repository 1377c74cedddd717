"""Generates docs/reference/configuration.md: every key of config/ with its type, default, meaning and source."""

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from bench.describe.schemas import config_files, schema_file
from bench.recipes import MARKS
from bench.registry import MODELS, arguments
from bench.run import RECIPES

PAGE = Path("docs/reference/configuration.md")
INTRODUCTION = """\
<!-- Written by `slim-bench schema` from the descriptions in the code; edit them there. -->

This page lists every key of the files in `config/`. Editors with a YAML language server use the schemas to complete
keys and to mark unknown ones. The commands reject an unknown key and suggest the nearest valid one.
[Deviations](../deviations.md) lists the differences between the paper scale and the authors' protocol.

The column "source" gives the origin of a default:"""
RECIPE_KEYS = """\
These are the keys of `recipe` in scales.yaml, experiments.yaml and ablations.yaml. An experiment takes precedence over
its scale."""
NETWORKS = """\
These are the keys of `model.args` in experiments.yaml and ablations.yaml, and of `model` in scales.yaml, by network."""
LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
UNBOUNDED = 2**53
"""Limit below which JSON numbers represent integers exactly. The page omits this limit."""


def configuration_page() -> str:
    marks = "\n".join(f"- {mark}: {meaning}" for mark, meaning in MARKS.items())
    parts = ["# Configuration", f"{INTRODUCTION}\n\n{marks}"]
    for name, file in config_files().items():
        schema = TypeAdapter(file.kind).json_schema()
        parts += [f"## config/{file.path}", f"{file.summary} Schema: `{schema_file(name)}`."]
        parts += [_table(schema)] if "properties" in schema else []
        for title, part in schema.get("$defs", {}).items():
            parts += [f"### {title}", part["description"], _table(part)]
    parts += ["## Recipes", RECIPE_KEYS]
    for task, recipe in RECIPES.items():
        parts += [f"### {task}", str(recipe.__doc__), _table(recipe.model_json_schema(), left_out=("task",))]
    parts += ["## Arguments of networks", NETWORKS]
    for name in MODELS:
        parts += [f"### {name}", _table(arguments(name).model_json_schema())]
    return "\n\n".join(parts) + "\n"


def _table(schema: dict[str, Any], left_out: tuple[str, ...] = ()) -> str:
    """Return a Markdown table with one row per key. Empty columns are omitted."""
    required = schema.get("required", ())
    rows = []
    for key, value in schema["properties"].items():
        if key not in left_out:
            default = "required" if key in required else f"`{json.dumps(value.get('default'), ensure_ascii=False)}`"
            if isinstance(value.get("default"), dict) and value["default"]:
                default = "its defaults"
            rows.append([f"`{key}`", _kind(value), default, value.get("description", ""), value.get("mark", "")])
    heads = ("key", "type", "default", "meaning", "source")
    shown = [index for index in range(len(heads)) if any(row[index] for row in rows)]
    lines = [[row[index] for index in shown] for row in (heads, ["---"] * len(heads), *rows)]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _kind(value: dict[str, Any]) -> str:
    """Return the type of a value as text."""
    if "$ref" in value:
        return value["$ref"].rpartition("/")[2]
    if "anyOf" in value or "oneOf" in value:
        return " or ".join(dict.fromkeys(map(_kind, value.get("anyOf") or value["oneOf"])))
    if "enum" in value or "const" in value:
        return ", ".join(f"`{word}`" for word in value.get("enum", [value.get("const")]))
    kind = value.get("type", "anything")
    if kind == "array":
        parts = value.get("prefixItems")
        return f"list of {len(parts)}: {_kind(parts[0])}" if parts else f"list of {_kind(value['items'])}"
    if kind == "object":
        inner = next(iter(value.get("patternProperties", {}).values()), value.get("additionalProperties"))
        return f"mapping of names to {_kind(inner)}" if isinstance(inner, dict) else "mapping"
    limits = [f"{sign} {value[key]:,}" for key, sign in LIMITS.items() if key in value and value[key] != UNBOUNDED]
    word = {"null": "`null`", "boolean": "true or false", "string": "text"}.get(kind, kind)
    return f"{word} {', '.join(limits)}".strip()
