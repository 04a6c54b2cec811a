"""Imported by the server that runs are forked from: what each run would else spend seconds on at its start."""

import numpy as np
import torch._dynamo  # the optimizers import it
from matplotlib.figure import Figure

import train
from agent.fast.kernels import PixelPatches, cut_patches_of
from training import background, final_report

__all__ = ["background", "final_report", "torch", "train"]

STRIDE, SIDE = 5, 84  # of the networks of these runs

# Compiles.
cut_patches_of(PixelPatches(STRIDE, STRIDE))(
    np.zeros((4, SIDE, SIDE), np.uint8),
    np.zeros((1, 4), np.int64),
    np.zeros((1, 2), np.int64),
    np.empty((1, (SIDE // STRIDE) ** 2, 4 * STRIDE**2), np.uint8),
)
# Reads the fonts.
_figure = Figure()
_figure.subplots().set_title("warm")
_figure.canvas.draw()
