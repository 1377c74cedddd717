"""Generates the JSON schemas and reference page of the configuration from Pydantic models, without importing torch."""

from pathlib import Path


def write_descriptions(root: Path) -> list[Path]:
    """Write config/schemas/*.json, docs/reference/configuration.md, and the recorded defaults that run hashes use.

    Returns the files whose content has changed. Raises InputError if a recorded default has changed.
    """
    from bench.defaults import record_defaults
    from bench.describe.page import PAGE, configuration_page
    from bench.describe.schemas import config_files, schema_file, schema_text
    from bench.files import write_text

    record_defaults()
    texts = {schema_file(name): schema_text(name) for name in config_files()}
    changed = []
    for file, text in {**texts, PAGE: configuration_page()}.items():
        path = root / file
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_text(path, text)
            changed.append(file)
    return changed
