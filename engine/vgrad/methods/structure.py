"""What the changeable parts of a model can be: the one list of their words."""

from __future__ import annotations

ACTIVATIONS = ("sigmoid", "tanh", "relu", "gelu", "leaky_relu", "elu", "selu")
ON_OFF = ("on", "off")
