"""A source of secrets that reads a JSON file: user → name → value."""

import json

from hermes import HermesError, Provision, Secrets, hookimpl


class JsonSecrets:
    def __init__(self, file, log):
        self._file = file
        self._log = log

    async def get(self, query):
        try:
            kept = json.loads(self._file.read_text()).get(query.scope.user, {})
        except ValueError as error:
            raise HermesError(f"{self._file.name} is not JSON.", hint="Mend it.") from error
        found = {name: kept[name] for name in query.names if name in kept}
        self._log.debug("found %s", sorted(found))
        return Secrets(values=found, source="json")


@hookimpl
def provide():
    return [Provision("secret_source", "json", lambda ctx: JsonSecrets(ctx.data_dir / "secrets.json", ctx.log))]
