"""Where things lie; everything that is not the source is made by make and ignored by git."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
CACHE = ROOT / ".cache"
LOGS = CACHE / "logs"
ENGINES = ROOT / "engines"
RESULTS = ROOT / "results"
LOCK = ROOT / "scripts" / "requirements.txt"
