"""Whether two answers say the same, with ids and times masked."""
import json
import time

# Lists whose order neither side promises; sorted by these.
UNORDERED = {"tags": "key", "params": "key", "metrics": "key", "aliases": "alias", "latest_versions": "current_stage",
             "model_outputs": "model_id", "model_inputs": "model_id"}
DAY_MS = 86_400_000


def mask(value, names, field=""):
    """The answer with this server's ids replaced by our names, times of its clock by <now>, tokens by <token>."""
    if isinstance(value, dict):
        return {k: mask(v, names, k) for k, v in value.items()}
    if isinstance(value, list):
        out = [mask(v, names) for v in value]
        # A history of one key keeps its order.
        if field == "dataset_summaries":
            out.sort(key=str)
        if field in UNORDERED and out and all(isinstance(o, dict) for o in out) and len({str(o.get(UNORDERED[field])) for o in out}) == len(out):
            out.sort(key=lambda o: str(o[UNORDERED[field]]))
        return out
    if field == "next_page_token":
        return "<token>"
    if isinstance(value, str):
        if value[:2] in ("[{", "{\""):  # JSON inside a tag
            try:
                return mask(json.loads(value), names)
            except ValueError:
                pass
        return names.mask(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value - time.time() * 1000) < DAY_MS:
        return "<now>"
    return value


def same(a, b):
    if isinstance(a, bool) or isinstance(b, bool) or type(a) is not type(b):
        return a is b or (isinstance(a, (int, float)) and isinstance(b, (int, float)) and type(a) is not bool is not type(b) and a == b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def difference(a, b, where=""):
    """Where two masked answers part, for a reader."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted(a.keys() | b.keys()):
            if key not in a or key not in b:
                return f"{where}.{key}: {'upstream' if key in a else 'lathe'} alone has {str(a.get(key, b.get(key)))[:200]}"
            if not same(a[key], b[key]):
                return difference(a[key], b[key], f"{where}.{key}")
    if isinstance(a, list) and isinstance(b, list):
        if len(a) != len(b):
            return f"{where}: upstream has {len(a)}, lathe {len(b)}"
        for i, (x, y) in enumerate(zip(a, b)):
            if not same(x, y):
                return difference(x, y, f"{where}[{i}]")
    return f"{where}: upstream {str(a)[:200]!r}, lathe {str(b)[:200]!r}"
