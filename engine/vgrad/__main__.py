"""`python -m vgrad SCRIPT`: runs an unmodified training script, watched."""

from vgrad.run.script import main

main()
