"""Everything that a control can be set to: one idea per file.

A gradient transform is a frozen value that checks itself when it is made and changes gradients in
place. What it learns from step to step is its memory, which the run keeps.
"""
