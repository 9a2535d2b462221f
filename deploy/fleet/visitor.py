"""A visitor who keeps asking, and speaks up when an answer is missing."""

import http.client
import time
from urllib.parse import urlsplit

EVERY = 0.1  # Seconds.
PATIENCE = 3


class Visitor:
    """Asks for one URL ten times a second, on a new connection each time."""

    def __init__(self, url):
        self.host = urlsplit(url).netloc
        self.port = urlsplit(url).port
        self.failures = 0
        self.last_good = time.monotonic()
        self.left = False

    def leave(self):
        """What is missing from now on is no surprise."""
        self.left = True

    def keep_asking(self):
        while not self.left:
            began = time.monotonic()
            wrong = self.ask()
            if not self.left:
                self.judge(wrong, time.monotonic())
            time.sleep(max(0, began + EVERY - time.monotonic()))

    def ask(self):
        """Nothing, or what was wrong with the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", "/json", headers={"Host": self.host, "Connection": "close"})
            answer = connection.getresponse()
            answer.read()
            why = answer.getheader("adit-error") or answer.reason
            return None if answer.status == 200 else f"{answer.status} {why}"
        except (OSError, http.client.HTTPException) as error:
            return str(error) or type(error).__name__
        finally:
            connection.close()

    def judge(self, wrong, now):
        if wrong:
            self.failures += 1
            if self.failures == 1:
                say(f"no answer: {wrong}")
            return
        gap = now - self.last_good
        if self.failures:
            say(f"answered again after {gap:.1f} s, {self.failures} without an answer")
        elif gap > 1:
            say(f"waited {gap:.1f} s for an answer")
        self.failures = 0
        self.last_good = now


def say(text):
    print(f"visitor | {text}", flush=True)
