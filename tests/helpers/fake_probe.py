"""Stands in for bench.measure.job in tests of its driver: prints results without computing anything.

The name of the probe's network selects what it does.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path


def tell(**result):
    print(json.dumps(result), flush=True)


def main(probe):
    name = probe["workload"]["name"]
    tell(torch="test", fixed=1.0, scales=1)
    if name.endswith("mute"):
        time.sleep(60)
    if name.endswith("memory"):
        tell(error="out of memory: peak 1.0 GiB")
        return 2
    if name.endswith("killed"):
        os.kill(os.getpid(), signal.SIGKILL)
    if probe["workload"]["part"] != "train":
        tell(image=0.25)
        return 0
    for warm, seconds in ((True, 3.0), (True, 0.5), *((False, s) for s in (0.5, 0.4, 0.7, 0.6, 0.5))):
        tell(part=0, warm=warm, step=seconds, peak=100)
        if name.endswith("slow") and not warm and seconds == 0.4:
            time.sleep(60)
    tell(joules=8.0, fixed=2.0)
    return 0


if __name__ == "__main__":
    sys.exit(main(json.loads(Path(sys.argv[1]).read_text())))
