"""Everything that a control can be set to: one idea per file.

A transform is a frozen value that checks itself when made and changes gradients in place; what it
learns meanwhile is its memory, which the run keeps. It never reads a number back to the host.
"""
