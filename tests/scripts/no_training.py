"""Not a training script: no torch, some output, arguments, and an exit code of its own."""

import sys

print("arguments", sys.argv[1:], "name", __name__)
sys.stderr.write("to stderr\n")
sys.exit(7)
