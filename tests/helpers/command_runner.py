"""Runs documented commands in a project. slim-bench and snakemake run in forks of a process that has imported them."""

import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ENTRY_POINTS = ("slim-bench", "snakemake")
FORKS = """
import json, os, sys, tempfile, traceback
import snakemake.cli, snakemake.workflow, torch, bench.cli, bench.workflow

main = {"slim-bench": bench.cli.main, "snakemake": snakemake.cli.main}
for request in sys.stdin:
    words, environment, folder = json.loads(request)
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if child == 0:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.environ.update(environment)
            os.chdir(folder)
            sys.argv, code = words, 1
            try:
                code = main[words[0]](words[1:])
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) or end.code is None else print(end.code) or 1
            except BaseException:
                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code or 0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        output.seek(0)
        print(json.dumps([code, output.read().decode()]), flush=True)
"""


@dataclass(frozen=True)
class Outcome:
    code: int
    output: str


class CommandRunner:
    """Runs command lines in the project's folder with the code of that project."""

    def __init__(self, project: Path, home: Path):
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SNAKEMAKE", "PYTEST", "SLIM_BENCH"))}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        given = {"PYTHONPATH": f"{home}:{project}", "HOME": str(home), "PATH": path, "SLIM_BENCH_OFFLINE": "1"}
        self._shell = {"cwd": project, "env": kept | given, "text": True}
        self._forks = subprocess.Popen(
            [sys.executable, "-c", FORKS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, **self._shell
        )
        self._known: dict[tuple[str, ...], Outcome] = {}

    def run(self, line: str, environment: dict[str, str] | None = None, folder: str = ".") -> Outcome:
        """Run a line and return exit code and output. A repeated line returns the stored outcome."""
        key = (line, folder, *(environment or {}).items())
        if key not in self._known:
            forked = line.split()[0] in ENTRY_POINTS
            self._known[key] = (self._fork if forked else self._bash)(line, environment or {}, folder)
        return self._known[key]

    def _fork(self, line: str, environment: dict[str, str], folder: str) -> Outcome:
        self._forks.stdin.write(json.dumps([shlex.split(line), environment, folder]) + "\n")
        self._forks.stdin.flush()
        return Outcome(*json.loads(self._forks.stdout.readline()))

    def _bash(self, line: str, environment: dict[str, str], folder: str) -> Outcome:
        options = self._shell | {"env": self._shell["env"] | environment, "cwd": self._shell["cwd"] / folder}
        done = subprocess.run(["bash", "-c", line], capture_output=True, timeout=600, **options)
        return Outcome(done.returncode, done.stdout + done.stderr)

    def close(self) -> None:
        self._forks.stdin.close()
        self._forks.wait()
        self._forks.stdout.close()
