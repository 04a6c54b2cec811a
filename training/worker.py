"""Plays snapshots for a training run that goes on meanwhile; started by `training.background`.

    python -m training.worker CONFIG

Each line of standard input asks for an evaluation, {"snapshot": FILE, "last": whether it is the run's last, "game": the
one that is played, or null for all}; the answer is a line with the results of these games. When standard input ends,
the process does so at once: that is how it learns of the end of the run.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
from dataclasses import asdict, replace
from pathlib import Path
from queue import SimpleQueue

from configs.parse import load
from configs.schema import Config
from configs.settings import ON_CPU
from evaluation.evaluator import evaluate_snapshot


def main(config_file: Path) -> None:
    """Answer until standard input ends; an exception ends the process, for the run to tell of."""
    answers = open(os.dup(1), "wb")  # noqa: SIM115 (open until the end)
    os.dup2(2, 1)  # what a library prints is no answer
    requests: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_listen, args=(requests,), daemon=True).start()
    config = on_own_threads(load(config_file, ON_CPU))
    while True:
        request = json.loads(requests.get())
        results = evaluate_snapshot(config, Path(request["snapshot"]), request["last"], request["game"])
        answers.write(json.dumps([asdict(result) for result in results]).encode() + b"\n")
        answers.flush()


def on_own_threads(config: Config) -> Config:
    """`config` with the worker's number of threads, for computing and for emulating."""
    threads = config.evaluation.threads
    return replace(config, threads=threads, emulators=replace(config.emulators, threads=threads))


def _listen(requests: SimpleQueue[bytes]) -> None:
    with open(0, "rb", closefd=False) as lines:
        for line in lines:
            requests.put(line)
    os._exit(0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("config", type=Path, help="the run's config.yaml")
    main(parser.parse_args().config)
