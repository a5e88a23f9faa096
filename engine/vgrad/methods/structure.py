"""What the changeable parts of a model can be: the one list of their words."""

from __future__ import annotations

ACTIVATIONS = ("sigmoid", "tanh", "relu", "gelu", "leaky_relu", "elu", "selu")
"""All of them; a model may have fewer."""

RNN_ACTIVATIONS = ("tanh", "relu")
"""Those that ``torch.nn.RNN`` has."""

TRANSFORMER_ACTIVATIONS = ("gelu", "relu")
"""Those that transformers are trained with."""

ON_OFF = ("on", "off")
