"""One page about many runs: what was learned, kept and confused."""
