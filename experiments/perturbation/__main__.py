"""`python -m experiments.perturbation`."""

from experiments.perturbation.command import main
from tracking import command

command.run(main)
