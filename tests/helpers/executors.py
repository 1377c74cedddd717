"""A Snakemake executor that is never called: the real ones are extras and ask their cluster when they are imported."""

from pathlib import Path

EXECUTOR = """\
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor as Executor
from snakemake_interface_executor_plugins.settings import CommonSettings

common_settings = CommonSettings(non_local_exec=True, implies_no_shared_fs=False, job_deploy_sources=False)
"""


def stand_in_executor(folder: Path, cluster: str) -> None:
    """Put the plugin of `cluster` into `folder`, a place that Python imports from."""
    plugin = folder / f"snakemake_executor_plugin_{cluster}/__init__.py"
    plugin.parent.mkdir()
    plugin.write_text(EXECUTOR)
