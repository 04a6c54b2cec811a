"""The pages: links lead somewhere, and commands, settings and paths that they quote exist."""

from __future__ import annotations

import functools
import re
import shlex
import unicodedata
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml
from jsonargparse import ArgumentParser

from configs.layers import AGENTS, PRESETS
from configs.parse import field_names, parse, to_config
from configs.schema import Config
from configs.settings import flat
from tests.commands import parser_of
from tracking.command import UserError
from training.options import train_parser

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    *(str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("docs/**/*.md"))),
]
QUOTING = [page for page in PAGES if page != "CHANGELOG.md"]  # which also names what is gone
_FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_PLACEHOLDER = re.compile(r"[A-Z_]+|\{.*\}.*|.*[A-Z]{2,}/.*")  # DIR, {a,b}, RUN/evaluation
TAKE_SETTINGS = ("experiments.compare", "experiments.single_games", "experiments.value_fit")  # those of train.py
_FOLDERS = "agent|benchmarks|configs|docs|envs|examples|experiments|results|sweeps|taskid|tests"


@functools.cache
def text(page: str) -> str:
    return (ROOT / page).read_text()


def fenced(page: str) -> str:
    return "\n".join(_FENCE.findall(text(page)))


def prose(page: str) -> str:
    return _FENCE.sub("", text(page))


def inline(page: str) -> list[str]:
    """What stands in backticks, each on one line."""
    return [" ".join(code.split()) for code in _INLINE.findall(prose(page))]


def slugs(title: str) -> set[str]:
    """The anchor of a heading on GitHub, and that in MkDocs."""
    plain = re.sub(r"[`*]|\]\([^)]*\)|\[", "", title).strip().lower()
    github = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
    ascii_only = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode()
    return {github, re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", ascii_only).strip())}


def anchors(page: str) -> set[str]:
    """Those that are the same on GitHub and in MkDocs."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {slug for title in titles for slug in slugs(title) if len(slugs(title)) == 1}


def commands(page: str) -> list[str]:
    """Every `python ...` that the page quotes, in blocks and in lines."""
    indented = re.findall(r"^    (\S.*)$", prose(page), re.MULTILINE)
    lines = [*fenced(page).replace("\\\n", " ").splitlines(), *indented, *inline(page)]
    parts = [part.strip() for line in lines for part in re.split(r" && |(?<=\S)\s+#\s", line)]
    return [part for part in parts if re.match(r"(\.venv/bin/)?python (-m |\w+\.py)", part)]


@functools.cache
def train() -> ArgumentParser:
    return train_parser()


def words(command: str) -> tuple[str, list[str]]:
    """The module and its arguments; what is optional is taken."""
    found = shlex.split(re.sub(r"\[(-[^\]]*)\]", r"\1", command))[1:]
    return (found[1], found[2:]) if found[0] == "-m" else (found[0].removesuffix(".py"), found[1:])


def answered(page: str) -> Iterator[tuple[str, str]]:
    """A command that is shown with its answer, and that."""
    yield from re.findall(r"^\$ (.+)\n(.+)$", fenced(page), re.MULTILINE)


def test_the_readme_is_one_page() -> None:
    assert len(text("README.md").splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    wrong = []
    for target in _LINK.findall(re.sub(_INLINE, "", prose(page))):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        place = (ROOT / page).parent / name if name else ROOT / page
        if not place.is_file() or (anchor and anchor not in anchors(str(place.resolve().relative_to(ROOT)))):
            wrong.append(target)
    assert not wrong


def test_the_site_has_every_page() -> None:
    listed = set(re.findall(r": (\S+\.md)$", text("mkdocs.yml"), re.MULTILINE))
    assert {f"docs/{name}" for name in listed} - {"docs/CHANGELOG.md"} == {p for p in PAGES if p.startswith("docs/")}


def test_there_are_commands() -> None:
    assert sum(len(commands(page)) for page in QUOTING) > 60
    assert words("python -m a.b x [--json]") == ("a.b", ["x", "--json"]) and words("python train.py")[0] == "train"


@pytest.mark.parametrize("page", QUOTING)
def test_every_command_can_be_typed(page: str) -> None:
    wrong = [f"{command}: {problem}" for command in commands(page) if (problem := refusal(command))]
    assert not wrong


@pytest.mark.parametrize(
    "command",
    [
        "python -m experiments.nothing",
        "python evaluate.py runs/a --epsiodes 3",
        "python evaluate.py runs/a --episodes 0",
        "python train.py --config configs/presets/nothing.yaml",
        "python train.py --resume runs/a --learner.nstep 3",
        "python train.py --stream.games [brekout]",
    ],
)
def test_a_wrong_command_is_noticed(command: str) -> None:
    assert refusal(command)


def refusal(command: str) -> str | None:
    """What is wrong with a quoted command; None if nothing is."""
    module, arguments = words(command)
    given = {word.partition("=")[0] for word in arguments if word.startswith("--")} - {"--help"}
    files = [word for word in arguments if word.startswith("configs/") and not (ROOT / word).is_file()]
    if files:
        return f"there is no {files[0]}"
    complete = "--help" not in arguments and not any(_PLACEHOLDER.fullmatch(word) for word in arguments)
    if module == "train":
        unknown = given - {f"--{name}" for name in field_names(train())}
        return f"unknown: {unknown}" if unknown else train_refuses(arguments) if complete else None
    if not any((ROOT / f"{module.replace('.', '/')}{end}").is_file() for end in (".py", "/__main__.py")):
        return "no such module"
    if module.startswith("examples."):  # without a parser; their own tests call them with what the page shows
        return None
    parser = parser_of(module)
    if module in TAKE_SETTINGS:
        given -= {f"--{name}" for name in field_names(train())}
    if unknown := given - {option for action in parser._actions for option in action.option_strings}:
        return f"unknown: {unknown}"
    if complete:
        try:
            (parser.parse_known_args if module in TAKE_SETTINGS else parser.parse_args)(arguments)
        except SystemExit as ended:
            return f"the parser ends it with {ended.code}"
    return None


def train_refuses(arguments: list[str]) -> str | None:
    """The sentence with which train.py refuses them, but for runs that are not there."""
    try:
        options = parse(train(), arguments)
        if "--resume" not in arguments:
            to_config(train(), options)
    except UserError as error:
        return str(error)
    return None


@pytest.mark.parametrize(("command", "answer"), [pair for page in QUOTING for pair in answered(page)])
def test_a_shown_answer_is_the_one_that_is_given(command: str, answer: str) -> None:
    assert f"train.py: {train_refuses(words(command)[1])}" == answer


@pytest.mark.parametrize("page", QUOTING)
def test_every_setting_and_path_that_is_named_exists(page: str) -> None:
    known, groups = set(flat(asdict(Config()))), {name.split(".")[0] for name in flat(asdict(Config()))}
    wrong = []
    for code in inline(page):
        named = re.match(r"(?:--)?([a-z]+)\.([a-z_.]+)(?=$|[:\s])", code)
        if named and named[1] in groups and f"{named[1]}.{named[2]}" not in known:
            module = ROOT / named[1] / named[2]
            if not (module.is_dir() or module.with_suffix(".py").is_file()):
                wrong.append(code)
        path = re.fullmatch(rf"({_FOLDERS})/[\w./-]*", code)
        if path and not (ROOT / code).exists():
            wrong.append(code)
    assert not wrong


def test_every_preset_and_every_agent_is_introduced() -> None:
    page = text("docs/getting_started.md")
    named = set(re.findall(r"`(\w+)`", page))
    assert {*PRESETS, *AGENTS} <= named
    assert set(PRESETS) == set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", text("Makefile"), re.MULTILINE))
    named = {name for page in QUOTING for name in re.findall(r"\bmake ([a-z]+)\b(?= |`|$)", fenced(page), re.MULTILINE)}
    assert {"train", "test", "docs"} <= named <= targets


def test_examples_of_files_can_be_read() -> None:
    """Sweeps and presets that are shown in part: fields that exist, files that are there."""
    blocks = [b for page in QUOTING for b in re.findall(r"^```yaml\n(.*?)^```", text(page), re.MULTILINE | re.DOTALL)]
    for block in blocks:
        shown = yaml.safe_load(block)
        assert "config" not in shown or (ROOT / shown["config"]).is_file()
        assert set(shown.get("settings", {})) <= set(flat(asdict(Config())))
