"""Switches of the whole process that make updates faster: what torch does on a GPU, and how memory is freed."""

from __future__ import annotations

import ctypes
import os
import sys

import torch

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # names in glibc's malloc.h
_LARGEST = 32 << 20  # bytes; the most that glibc accepts for the latter


def use_cuda(deterministic: bool) -> None:
    """Set torch up for a GPU: matrix products of float32 in TF32, and convolutions by the kernel that measures
    fastest, or else deterministic algorithms only."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = not deterministic
    torch.backends.cudnn.benchmark = not deterministic
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)


def keep_freed_memory() -> None:
    """Have the C library keep the memory of freed tensors for the next ones instead of returning it to the system
    at once: new pages cost an update up to a fifth of its time. Does nothing where there is no glibc."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
