"""`python -m experiments.report`."""

from experiments.report.command import main
from tracking import command

command.run(main)
