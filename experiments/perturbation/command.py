"""The paper's audit of the Fisher information (figure 3C) on any agent that a run kept: its weights under three noises.

    python -m experiments.perturbation runs/ten-1 --game breakout                    the newest checkpoint
    python -m experiments.perturbation runs/ten-1/snapshots/000004000000.pt --game krull --episodes 30 --json

Noise is added to the shared weights, drawn anew at every vector step of the play: uniform, shaped by the inverse of
the diagonal Fisher information F, or only in its null space, all of the same expected norm (see
`experiments.perturbation.noise`).
The last two move what F calls unimportant. The paper found that from some scale on it is not.

F is measured on the task's replay where the checkpoint holds one that is of this game, else on play of the policy
itself. By default it is that of the policy softmax(Q), since the argument is about what the agent does: to second order
the noise changes that policy by KL = 1/2 noise^T F noise. Beside the scores, and free of their luck, stand that
divergence as it is and as F expects it, and the share of changed greedy actions, both on fixed observations of the
policy's play.

The same seed and number of threads give the same numbers, and the weights are left as they were. Every play is kept as
it ends, in the folder of the results: the same command goes on after an interruption, and adds scales to an audit.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from agent.fisher import ESTIMATORS
from configs.ranges import argument
from envs.games import game as find_game
from evaluation.plots import save
from experiments.kept_agent import load_kept
from experiments.perturbation import report
from experiments.perturbation.audit import Audit, Settings
from experiments.perturbation.plays import KeptPlays, is_free
from tracking import command
from tracking.checkpoints import CheckpointError
from tracking.console import print_json
from tracking.durations import spoken
from tracking.files import numbered
from tracking.numbers import real, whole
from tracking.run_directory import BAD_INPUT

SCALES = [0.001 * 2**k for k in range(10)]


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    console = Console(width=120)
    begin = time.perf_counter()
    try:
        settings = chosen_settings(options)
        game = find_game(options.game).name
        tell = partial(console.print, style="dim", highlight=False, soft_wrap=True)
        audit = Audit(load_kept(options.checkpoint, game), game, settings, tell)
        identity = audit.identity()
        out = options.out or free_folder(Path("runs") / f"perturbation_{game}", identity)
        command.check_writable(out)
        result = replace(audit, keep=KeptPlays(out, identity)).run()
    except (ValueError, CheckpointError) as error:
        print(f"experiments.perturbation: {error}", file=sys.stderr)
        return BAD_INPUT
    result["seconds"] = round(time.perf_counter() - begin)
    show(result, console)
    write(result, out)
    console.print(f"{spoken(result['seconds'])}; written: {out}/perturbation.png, .svg, .csv, .json", soft_wrap=True)
    if options.json:
        print_json(result)
    return 0


def free_folder(first: Path, audit: dict[str, Any]) -> Path:
    """`first`, `first`-2, ..., whichever holds nothing of another audit."""
    return next(folder for folder in numbered(first) if is_free(folder, audit))


def show(result: dict[str, Any], console: Console) -> None:
    """The table, and where each kind of noise halves the score."""
    console.print(report.table(result["points"], report.title(result)))
    null, zero = (100 * result["fisher"][name] for name in ("null_share", "zero_share"))
    console.print(f"of its shared weights {null:.1f} % are in the null space; F is 0 for {zero:.1f} %")
    for kind, half in result["half_scale"].items():
        found = "not within these scales" if half is None else f"at {half:.2g}"
        paper = result["paper_half_scale"][kind]
        console.print(f"{report.NAMES[kind]} noise halves the score {found} (paper: {paper:.2g})")
    if not any(point["share"] is not None for point in result["points"]):
        console.print("The unperturbed policy cannot be told from a random player: its scores say nothing.")


def write(result: dict[str, Any], out: Path) -> None:
    """The picture twice, the points as CSV, everything as JSON."""
    out.mkdir(parents=True, exist_ok=True)
    picture = report.figure(result["points"], report.title(result))
    save(picture, out / "perturbation.png")
    report.write_csv(report.plain(result["points"]), out / "perturbation.csv")
    (out / "perturbation.json").write_text(json.dumps(result) + "\n")


def chosen_settings(options: argparse.Namespace) -> Settings:
    """The settings of the command line."""
    return Settings(**{name: getattr(options, name) for name in Settings.__dataclass_fields__})


def _parser() -> argparse.ArgumentParser:
    parser = command.Parser(prog="python -m experiments.perturbation", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("checkpoint", type=Path, help="a run directory, one of its checkpoints or a file of its snapshots folder")
    add("--game", required=True, help="ROM id of the game to play, such as breakout")
    add(
        "--scales",
        type=real(0.0, 1000.0),
        nargs="+",
        default=SCALES,
        help="root mean squares of the noise (0.001 to 0.512)",
    )
    add("--episodes", type=whole(2, 10_000), default=10, help="per kind and scale (default: 10)")
    add("--emulators", type=argument("evaluation.emulators"), default=10, help="in parallel (default: 10)")
    add(
        "--epsilon", type=argument("evaluation.epsilon"), default=0.01, help="exploration while playing (default: 0.01)"
    )
    add(
        "--max_episode_frames",
        type=argument("evaluation.max_episode_frames"),
        default=27_000,
        help="an episode is cut off after so many (default: 27,000)",
    )
    add("--estimator", choices=ESTIMATORS, default="policy", help="of the Fisher information (default: policy)")
    add(
        "--fisher_batches",
        type=argument("consolidation.fisher_batches"),
        default=100,
        help="minibatches it is measured on (default: 100)",
    )
    add(
        "--null_quantile",
        type=real(0.0, 0.999),
        default=0.01,
        help="of F, up to which it counts as none (default: 0.01)",
    )
    add("--seed", type=argument("seed"), default=0, help="of emulators, exploration, samples and noise (default: 0)")
    add("--out", type=Path, help="folder for the results (default: runs/perturbation_GAME, or ..._GAME-2 and so on)")
    add("--json", action="store_true", help="print the result as JSON, on the last line")
    return parser
