"""What the other modules of settings start from: where this is, which version, and the environment."""

from pathlib import Path

from fintech_core.environment import Environment

BASE_DIR = Path(__file__).resolve().parent.parent.parent
VERSION = "0.1.0"

env = Environment()

# Uploaded identity documents and the like; never served by the web server.
DATA_DIR = Path(env.text("FINTECH_DATA", str(BASE_DIR / ".data")))
MEDIA_ROOT = DATA_DIR / "media"
