"""The paper's supervised experiments: permuted MNIST, and random patterns."""
