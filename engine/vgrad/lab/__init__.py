"""Experiments with the engine itself: the study of methods and the accuracy of verdicts.

Nothing outside this room imports it, but for the commands that show what it found.
"""
