"""The paper's audit of the Fisher information: weights under noise (figure 3C)."""
