"""Pip's way to this project ends here: its packages have generic names, which would get into the way of others."""

raise SystemExit(
    "continual-atari is not installed but run from its folder, since packages named agent or training would get into "
    "the way of others: type `make train` there, or `make setup` and then `.venv/bin/python train.py`"
)
