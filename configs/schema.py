"""Every hyper-parameter once: its type, unit, default, range and source. Presets hold only what differs.

Durations are environment frames, counted over all emulators (one agent step of one emulator is 4 frames);
a name says when it counts something else. "PAPER" is Kirkpatrick et al. 2017 with its Supporting Information.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from configs.choices import CONSOLIDATORS, NETWORKS, TASK_SOURCES, with_settings_of
from variants.settings import needed, number


@dataclass(frozen=True)
class Visit:
    """One entry of an explicit schedule."""

    game: str
    """Game to play."""
    frames: int = needed(4, 10**12)
    """Length of the visit [frames]."""


@dataclass(frozen=True)
class StreamConfig:
    """Which games are played, in which order, for how long."""

    games: list[str] = field(default_factory=lambda: ["krull", "road_runner", "boxing"])
    """Games to play: a list such as [pong, boxing], or the name of a set, a file in envs/sets, such as figure3."""
    order: Literal["rounds", "uniform", "listed"] = "rounds"
    """rounds: every game once per round in random order; uniform: drawn with repeats (PAPER); listed: as in
    visits or visits_csv."""
    visit_frames: int = number(4_000_000, 4, 10**12)
    """Length of a visit under rounds and uniform [frames] (PAPER: 4 M)."""
    visits: list[Visit] = field(default_factory=list)
    """The explicit schedule for order listed; starts again after its end."""
    visits_csv: str | None = None
    """The same as a CSV file with columns game, frames."""
    reseed_frames: int = number(1_000_000, 4, 10**12)
    """Emulators are seeded anew at every visit and this often within one [frames]; bounds the work of a resume."""


@dataclass(frozen=True)
class EmulatorConfig:
    """The batch of emulators. All play the same game."""

    num_envs: int = number(4, 1, 1024)
    """Number B of emulators (PAPER does not say)."""
    threads: int = number(0, 0, 1024)
    """Threads that emulate; 0: one per emulator, at most one per core that does not compute, but one at least."""
    sticky_actions: float = number(0.0, 0.0, 0.99)
    """Probability that an emulator repeats its previous action (Machado et al. 2018: 0.25; PAPER: 0)."""
    noop_max: int = number(30, 0, 1000)
    """At most this many no-op actions at an episode's start (PAPER: 30)."""
    life_loss_terminal: bool = True
    """A lost life ends the learner's bootstrapping, not the episode (Mnih et al. 2015)."""
    max_episode_frames: int = number(108_000, 100, 10**8)
    """Episodes are cut off (not terminated) after this many frames of one emulator; 108,000 = 30 minutes."""
    rom_dir: str | None = None
    """Another folder of ROMs, searched after ale-py's own and AutoROM's."""


@dataclass(frozen=True)
@with_settings_of(NETWORKS)
class LearnerConfig:
    """Network and Q-learning. The loss is summed over the minibatch."""

    network: str = "paper"
    """The Q-network's layers."""
    gated: float = number(0.0, 0.0, 0.99)
    """Share of every hidden layer's units that a task does without, those first that most other tasks use (after
    context-dependent gating, Masse et al. 2018, which draws them at random; PAPER: 0)."""
    initial_gain: float = number(1.0, 0.01, 100.0)
    """Gain that every hidden unit starts with (PAPER: 1). The paper's weights are so small that a layer divides what
    passes it by about √6; a gain of 2.45 makes up for it (He et al. 2015). Values are fitted sooner, games not."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Type that layers are computed in. bfloat16 is faster where the hardware multiplies it: on GPUs, and on processors
    with avx512_bf16 or AMX; runs of the two types are different runs."""
    optimizer: Literal["rmsprop", "adam"] = "rmsprop"
    """rmsprop: centred, epsilon inside the root (PAPER); adam: faster at short budgets."""
    cuda_graphs: bool = False
    """With device cuda: replay the update as a CUDA graph, recorded once per task."""
    optimizer_code: Literal["auto", "eager", "compiled"] = "auto"
    """compiled: rmsprop as one loop over memory, made by torch.compile, which needs a C++ compiler; auto takes it where
    it works, for the large networks."""
    learning_rate: float = number(0.00025, 1e-10, 10.0)
    """Step size (PAPER: 0.00025)."""
    optimizer_epsilon: float = number(0.01, 1e-12, 1000.0)
    """Added to the variance inside the root (rmsprop; PAPER: 0.01) or to the root (adam)."""
    decay: float = number(0.95, 0.0, 0.99999)
    """Decay of rmsprop's averages per update (PAPER: 0.95)."""
    max_gradient_norm: float = number(50.0, 1e-6, 1e9)
    """Bound on the norm of the gradient summed over the minibatch (PAPER: 50)."""
    batch_size: int = number(32, 1, 65_536)
    """Transitions per minibatch (PAPER: 32)."""
    samples_per_step: float = number(8.0, 0.0, 1024.0)
    """Transitions replayed per agent step, whatever the number of emulators (PAPER: 32 every 4 steps = 8)."""
    rehearsal: float = number(0.0, 0.0, 1.0)
    """Share of the updates that replay another task instead of the one that is played, the others in turn: an upper
    bound to remembering (PAPER: 0)."""
    n_step: int = number(1, 1, 1000)
    """Steps of reward before bootstrapping (PAPER: 1)."""
    n_step_first: int = number(0, 0, 1000)
    """In every task so many steps at first, falling geometrically to n_step (Schwarzer et al. 2023: 10 to 3); 0: n_step
    throughout (PAPER)."""
    n_step_frames: int = number(60_000, 4, 10**12)
    """Frames of the task over which they fall."""
    discount: float = number(0.99, 0.0, 1.0)
    """Discount per agent step (PAPER: 0.99)."""
    td_target: Literal["double_q", "clipped_double_q"] = "double_q"
    """What the next state is worth. double_q: what the target network says of the action that the online network finds
    best (PAPER); clipped_double_q: of what both say of it the smaller, which overestimates less."""
    action_ridge: float = number(0.0, 0.0, 100.0)
    """How much what tells a state's actions apart is drawn to 0, so that noise between them is not maximised: half of
    this times the squared differences of the state's values from their mean joins the loss (PAPER: 0)."""
    target_frames: int = number(30_000, 4, 10**9)
    """The target network is copied every so many frames of learning (PAPER: 7,500 steps)."""
    reward_clip: float = number(1.0, 0.0, 1e6)
    """Bound on the size of a learner's reward; 0: none (PAPER: 1)."""
    average_rate: float = number(0.0, 0.0, 1.0)
    """Above 0, a running average of the weights plays in evaluations and is what stays of a task that is left; it
    follows them by this share an update, every 16 updates. 0: the weights themselves (PAPER)."""
    shift_pixels: int = number(0, 0, 20)
    """Random shift of replayed observations (Yarats et al. 2021: 4) [pixels]; 0: none (PAPER)."""
    subtract_background: bool = False
    """What always stands on a task's screen, the median of its first observations, is taken off what the network sees
    of it (PAPER: no)."""

    @property
    def longest_n_step(self) -> int:
        """The most steps that a window may have."""
        return max(self.n_step, self.n_step_first)


@dataclass(frozen=True)
@with_settings_of(CONSOLIDATORS)
class ConsolidationConfig:
    """What keeps the shared weights from forgetting."""

    kind: str = "ewc"
    """How earlier tasks are remembered."""
    ewc_lambda: float = number(400.0, 0.0, 1e12)
    """Lambda, at a loss summed over the minibatch (PAPER: 400)."""
    fisher: Literal["td", "q", "q_all", "policy"] = "q"
    """Of what the Fisher information is: td: the TD loss; q: the replayed action's Q; q_all: all actions' Q; policy:
    the softmax of Q (PAPER does not say)."""
    fisher_batches: int = number(100, 1, 100_000)
    """Minibatches from a task's replay that its Fisher is measured on (PAPER: 100)."""
    fisher_damping: float = number(0.0, 0.0, 1e6)
    """Added to every Fisher: on all weights between units that the task uses, this share of their mean in their layer;
    keeps units that are silent in the task from waking up for other tasks (PAPER: 0)."""
    prune_inactive: bool = False
    """On leaving a task, set its gains of the units that its replay never activates to 0: the task does not change by
    that, and others may use the units freely; whatever the kind (PAPER: no)."""
    recall_states: int = number(0, 0, 50_000)
    """Replayed states of every task that was left whose values are kept, whatever the kind: anchors in function space
    (PAPER: 0). At least 8, if any."""
    recall_strength: float = number(1.0, 0.0, 1e6)
    """How much the values of a recalled state are held: at 1 as much as the value of one replayed action is learned; 0:
    it is only measured what becomes of them."""
    recall_samples: int = number(8, 1, 4096)
    """Of these states are recalled in every update, of one other task at a time, in turn."""
    start_frames: int = number(20_000_000, 0, 10**12)
    """A task leaves an anchor, and closes units, only after so many frames in it (PAPER: 20 M)."""
    min_visit_frames: int = number(10_000, 0, 10**12)
    """A visit of fewer frames leaves neither: it may be an error of the inference."""
    step: Literal["proximal", "gradient"] = "proximal"
    """proximal: stable for every strength; gradient: added to the loss's gradient (PAPER)."""


@dataclass(frozen=True)
class ExplorationConfig:
    """Epsilon-greedy, with a timer of its own for every task."""

    start: float = number(1.0, 0.0, 1.0)
    """Epsilon at a task's start (PAPER: 1)."""
    end: float = number(0.01, 0.0, 1.0)
    """Epsilon at the end of the decay (PAPER: 0.01)."""
    spread: float = number(0.0, 0.0, 100.0)
    """Above 0 the emulators end at different values: the first at `end`, the last at `end` to the power of 1 + spread
    (Ape-X: end 0.4, spread 7). Evaluations have their own epsilon."""
    hold_frames: int = number(200_000, 0, 10**12)
    """Frames in the task before epsilon begins to fall (PAPER: 50,000 steps)."""
    decay_frames: int = number(4_000_000, 0, 10**12)
    """Frames over which it falls (PAPER: 1,000,000 steps)."""


@dataclass(frozen=True)
class ReplayConfig:
    """A buffer per task."""

    capacity: int = number(50_000, 1, 10**9)
    """Transitions per task (PAPER: 50,000 in its table, 5e5 in its text)."""
    min_history: int = number(50_000, 1, 10**9)
    """Agent steps in a task before learning in it starts, once for ever (PAPER: 50,000)."""
    compress: bool = True
    """Keep frames compressed with lz4."""
    device_gib: float = number(0.0, 0.0, 1000.0)
    """With device cuda: memory of the GPU for copies of frames, from which minibatches are gathered there [GiB]. A
    task whose buffer finds no room is sampled in host memory, and its minibatches are copied; 0: all are."""
    budget_gib: float = number(8.0, 0.01, 1e6)
    """Memory for all buffers together [GiB]; when full, the largest buffer forgets its oldest transitions."""


@dataclass(frozen=True)
class EvaluationConfig:
    """Evaluations without learning, of every game of the schedule or of the one just left."""

    period: int = number(1_000_000, 0, 10**12)
    """Frames between evaluations (PAPER: 1 M); 0: none at intervals."""
    at_visit_ends: Literal["none", "left", "all"] = "none"
    """What is evaluated whenever a visit ends: left: the game just left, which costs a fraction of a whole evaluation;
    all: every game."""
    at_start: bool = False
    """Evaluate also at frame 0, so that charts show from the first minute where the agent began."""
    episodes: int = number(5, 1, 10_000)
    """Episodes per game."""
    final_episodes: int = number(10, 1, 10_000)
    """Episodes per game in the evaluation at the run's end."""
    emulators: int = number(5, 1, 1024)
    """Emulators that play them in parallel."""
    epsilon: float = number(0.01, 0.0, 1.0)
    """Epsilon of the evaluated policy."""
    max_episode_frames: int = number(18_000, 100, 10**8)
    """Cap on an episode's frames in evaluations during the run; 18,000 = 5 minutes."""
    background: bool = False
    """Play the moment's snapshot in a process of its own while training goes on. Sensible (true) where training leaves
    cores idle: four cores or more, or an accelerator; on one or two cores training loses what it seems to gain."""
    threads: int = number(1, 1, 1024)
    """Threads of that process, for computing and emulating; as ever, torch may round otherwise with another number."""
    reference: str | None = None
    """Another run on the same stream, or the files kept of it, to show beside this one in its report."""
    report_after: int = number(500_000, 4, 10**12)
    """The files get the background's results so many frames after its snapshot, or with the next evaluation or the end
    if that is sooner: a fixed moment, however fast the process is. Training waits for what is not there by then, so
    choose more frames than pass during an evaluation; the console shows results as soon as they are there."""


@dataclass(frozen=True)
class LogConfig:
    """What is written while the run goes on."""

    period: int = number(10_000, 4, 10**12)
    """Frames between points in TensorBoard and metrics.jsonl."""
    wandb: str | None = None
    """The project of Weights & Biases that gets the same, if any; needs the package wandb."""
    image_period: int = number(1_000_000, 0, 10**12)
    """Frames between pictures of the game on screen; 0: none."""
    checkpoint_period: int = number(200_000, 4, 10**12)
    """Frames between checkpoints, the most that a power cut costs; a stop writes one in any case. They are written
    beside training: one of a run of ten games costs it a second or two (docs/results.md)."""


@dataclass(frozen=True)
@with_settings_of(TASK_SOURCES)
class Config:
    """All settings of a run, in groups."""

    seed: int = number(0, 0, 10**18)
    """Seed of everything random in the run."""
    frames: int = number(50_000_000, 4, 10**12)
    """Length of the run [frames]."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where networks and anchors are and learning happens."""
    deterministic: bool = False
    """With device cuda: use deterministic algorithms only, so that a resume is bit-exact on the same kind of GPU (on
    the CPU it always is)."""
    threads: int = number(0, 0, 1024)
    """Threads that compute; 0: OMP_NUM_THREADS if that is set, but no more than there are cores, else one per core."""
    task_source: str = "true_labels"
    """Where task numbers come from."""
    stream: StreamConfig = field(default_factory=StreamConfig)
    emulators: EmulatorConfig = field(default_factory=EmulatorConfig)
    learner: LearnerConfig = field(default_factory=LearnerConfig)
    consolidation: ConsolidationConfig = field(default_factory=ConsolidationConfig)
    exploration: ExplorationConfig = field(default_factory=ExplorationConfig)
    replay: ReplayConfig = field(default_factory=ReplayConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    log: LogConfig = field(default_factory=LogConfig)
