"""A service that ticks: it takes files from ``inbox``, works on each for a few ticks, and puts it into ``done``."""

from hermes import Done, Health, Provision, ServiceOptions, hookimpl

TICK = 0.005
TICKS = 3


class Ticker:
    options = ServiceOptions(lease="home")

    def __init__(self, folder, clock):
        self._folder = folder
        self._clock = clock
        self._running = False
        self._draining = False

    async def run(self, request):
        self._draining = False
        for name in ("inbox", "working", "done"):
            (self._folder / name).mkdir(exist_ok=True)
        self._running = True
        try:
            while not self._draining:
                await self._tick()
        finally:
            self._running = False
        return Done()

    async def _tick(self):
        for file in sorted((self._folder / "inbox").iterdir())[:1]:
            if file.name == "crash":
                file.unlink()
                raise RuntimeError("crash")
            taken = file.rename(self._folder / "working" / file.name)
            for _ in range(TICKS):
                await self._clock.sleep(TICK)
            taken.rename(self._folder / "done" / file.name)
        await self._clock.sleep(TICK)

    async def health(self, request):
        return Health(ok=self._running, detail="" if self._running else "not running")

    async def drain(self, request):
        self._draining = True
        return Done()


@hookimpl
def provide():
    return [Provision("service", "ticker", lambda ctx: Ticker(ctx.data_dir, ctx.clock))]
