import os
import subprocess
import sys
import time

from frontend.server.heartbeat import VARIABLE, Heartbeat

BEAT = "import os; from frontend.server.heartbeat import Heartbeat; Heartbeat.inherited(os.environ).beat(7)"


def test_a_started_process_shows_life_to_who_started_it() -> None:
    heartbeat = Heartbeat.new()
    assert (heartbeat.last, heartbeat.num_running) == (0, 0)
    before = time.monotonic()
    environment = os.environ | {VARIABLE: str(heartbeat.fd)}
    subprocess.run([sys.executable, "-c", BEAT], env=environment, pass_fds=[heartbeat.fd], check=True)
    assert before < heartbeat.last < time.monotonic()
    assert heartbeat.num_running == 7


def test_a_process_that_nobody_watches_beats_for_itself() -> None:
    heartbeat = Heartbeat.inherited({})
    heartbeat.beat(1)
    assert heartbeat.num_running == 1
