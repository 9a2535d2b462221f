"""What every way is made of, and how one knows that it stands."""

import http.client
import time


class Way:
    """One way that stands: where visitors find the upstream, and the programs in between.

    A place is an address and the Host to ask it for. `light` is a second host beside `main`; `large` and `beside_large`
    are the same two where bodies of any size pass.
    """

    # How long, in seconds, the rest takes to notice that the program next to the upstream is gone.
    notices = 0

    def __init__(self, stage, main, light, programs, restart=None, large=None, beside_large=None):
        self.stage = stage
        self.main = main
        self.light = light
        self.large = large or main
        self.beside_large = beside_large or light
        # By role: `public` meets the visitors, `inner` is next to the upstream, others are between.
        self.programs = programs
        self._restart = restart

    def restart_inner(self):
        """Seconds from the start of the program next to the upstream to the first answer of the upstream."""
        self.stage.stop([self.programs["inner"]])
        time.sleep(self.notices)
        began = time.monotonic()
        self.programs["inner"] = self._restart()
        wait_for_answer(*self.main)
        return time.monotonic() - began


def wait_for_answer(addr, host, deadline=10):
    end = time.monotonic() + deadline
    while True:
        connection = http.client.HTTPConnection(addr, timeout=1)
        try:
            connection.request("GET", "/1k", headers={"Host": host})
            if connection.getresponse().status == 200:
                return
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        if time.monotonic() > end:
            raise RuntimeError(f"no answer from {addr} for {host}")
        time.sleep(0.001)


def configs(stage, slug, words, **texts):
    return {role: stage.write(f"{slug}-{role}.toml", text.format(**words)) for role, text in texts.items()}
