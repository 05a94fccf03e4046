"""The built program: runs a command of it, and reads what it says."""

import json
import os
import subprocess
from pathlib import Path

BUILT = Path("target/release/foveate")


def says(program: Path, command: str, *words, of: str) -> dict:
    """What a command says with `--json`. Where it fails, its words end the run; `of` says what was asked for."""
    # No Vulkan driver should find a display to talk to.
    environment = {**os.environ, "XDG_RUNTIME_DIR": "/nonexistent"}
    result = subprocess.run([str(word) for word in (program, command, "--json", *words)], capture_output=True, text=True, env=environment)
    if result.returncode:
        raise SystemExit(f"{of}: {result.stderr.strip() or result.stdout.strip()}")
    return json.loads(result.stdout)
