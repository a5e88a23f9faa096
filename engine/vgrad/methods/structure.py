"""What the changeable parts of a model can be: the one list of their words."""

from __future__ import annotations

ACTIVATIONS = ("sigmoid", "tanh", "relu", "gelu", "leaky_relu", "elu", "selu")
"""All activations; a model may have fewer."""

RNN_ACTIVATIONS = ("tanh", "relu")
"""The activations that ``torch.nn.RNN`` has."""

TRANSFORMER_ACTIVATIONS = ("gelu", "relu")
"""The activations that transformers are trained with."""

ON_OFF = ("on", "off")
