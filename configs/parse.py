"""From the command line and YAML files to a checked `Config`, and from any mistake to one sentence."""

from __future__ import annotations

import difflib
import re
from argparse import ArgumentError
from pathlib import Path

import yaml
from jsonargparse import ArgumentParser, Namespace, set_parsing_settings

from configs.checks import ConfigError, check
from configs.schema import Config

set_parsing_settings(docstring_parse_attribute_docstrings=True)


def make_parser(prog: str, description: str) -> ArgumentParser:
    """A parser with every field of `Config` under its dotted name, and `--config FILE`."""
    parser = ArgumentParser(prog=prog, description=description, exit_on_error=False)
    parser.add_argument("--config", action="config", help="YAML preset; later options override it.")
    parser.add_class_arguments(Config)
    return parser


def parse(parser: ArgumentParser, arguments: list[str] | None = None) -> Namespace:
    """Parsed options; raises `ConfigError` with one sentence for any mistake of the user's."""
    try:
        return parser.parse_args(arguments)
    except (ArgumentError, TypeError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(_one_sentence(str(error), parser)) from None


def to_config(parser: ArgumentParser, options: Namespace) -> Config:
    """The checked `Config` in parsed options."""
    fields = parser.instantiate(options)
    config = Config(**{name: fields[name] for name in Config.__dataclass_fields__})
    check(config)
    return config


def load(path: str | Path, overrides: list[str] | None = None) -> Config:
    """The checked `Config` of a YAML file, with overrides such as `--learner.n_step 3`."""
    parser = make_parser("load", "")
    return to_config(parser, parse(parser, ["--config", str(path), *(overrides or [])]))


def dump(config: Config) -> str:
    """`config` as YAML text that `load` reads back to an equal object."""
    from dataclasses import asdict

    return yaml.safe_dump(asdict(config), sort_keys=False, allow_unicode=True)


def field_names(parser: ArgumentParser) -> list[str]:
    """Every option by its dotted name."""
    names = (option.lstrip("-") for action in parser._actions for option in action.option_strings)
    return [name for name in names if name not in ("h", "help") and not name.endswith((".help", "+"))]


def _one_sentence(message: str, parser: ArgumentParser) -> str:
    text = " ".join(message.split())
    unknown = re.search(r"unrecognized arguments: --([\w.+-]+)", text, re.IGNORECASE) or re.search(
        r"""[Kk]ey ['"]([\w.]+)['"] is not expected""", text
    )
    if unknown:
        name = unknown.group(1)
        group = re.search(r"""Group ['"]([\w.]+)['"]""", text)
        if group and not name.startswith(group.group(1)):
            name = f"{group.group(1)}.{name}"
        names = field_names(parser)
        near = difflib.get_close_matches(name, names, n=2, cutoff=0.5)
        near = near or [full for full in names if full.rsplit(".", 1)[-1] == name.rsplit(".", 1)[-1]][:2]
        return f"unknown field {name}" + (f"; did you mean {' or '.join(near)}?" if near else "; see --help")
    wrong = re.search(r"""[Pp]arser key ["']([\w.]+)["']:?\s*(.*)""", text)
    if wrong:
        path, reason = wrong.groups()
        reason = re.sub(r"typing\.Literal\[(.*?)\]", r"one of \1", reason)
        reason = re.sub(r"(?:an? )?<class '(\w+)'>", r"\1", reason)
        return f"{path}: {reason}"
    return text
