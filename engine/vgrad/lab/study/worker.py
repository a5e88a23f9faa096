"""A process that carries out runs: a run per line of JSON on stdin, its result on stdout.

python -m vgrad.lab.study.worker
"""

from __future__ import annotations

import json
import sys
from typing import TextIO

from vgrad.errors import VgradError
from vgrad.lab.study.results import as_plain, run_from_json
from vgrad.lab.study.run import carry_out


def serve(stdin: TextIO, stdout: TextIO) -> None:
    """Answer every line until there are no more.

    The answer is ``{"result": ...}``, or ``{"error": message}`` for a run that cannot be carried out.
    """
    for line in stdin:
        answer: dict[str, object]
        try:
            answer = {"result": as_plain(carry_out(run_from_json(json.loads(line))))}
        except VgradError as error:
            answer = {"error": str(error)}
        stdout.write(json.dumps(answer, allow_nan=False) + "\n")
        stdout.flush()


if __name__ == "__main__":
    serve(sys.stdin, sys.stdout)
