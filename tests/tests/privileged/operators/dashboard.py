import json
import sys

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

register_default_plugins()


def lost(ours, theirs, at):
    """What of ours is not in theirs, or is another."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name, value in ours.items():
            if name in theirs:
                yield from lost(value, theirs[name], f"{at}/{name}")
            else:
                yield f"{at}/{name}: not known"
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for place, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from lost(one, other, f"{at}/{place}")
    elif ours != theirs:
        yield f"{at}: {ours} became {theirs}"


ours = json.load(open(sys.argv[1], encoding="utf-8"))
found = list(lost(ours, json.loads(JSONEncoder().encode(Dashboard.from_json(ours))), ""))
print("\n".join(found))
sys.exit(1 if found else 0)
