"""A stub of a Snakemake executor. The real ones are optional packages that contact their cluster on import."""

from pathlib import Path

EXECUTOR = """\
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor as Executor
from snakemake_interface_executor_plugins.settings import CommonSettings

common_settings = CommonSettings(non_local_exec=True, implies_no_shared_fs=False, job_deploy_sources=False)
"""


def stand_in_executor(folder: Path, cluster: str) -> None:
    """Write the stub plugin of `cluster` to `folder`, which must be on Python's path."""
    plugin = folder / f"snakemake_executor_plugin_{cluster}/__init__.py"
    plugin.parent.mkdir()
    plugin.write_text(EXECUTOR)
