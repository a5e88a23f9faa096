"""Callbacks for training frameworks, a module and an extra for each: `huggingface` and `lightning`."""
