"""Where Lathe means to differ from `mlflow server`: each with the reason that docs/design/tracking.md gives."""
import re


def reason(request, theirs, ours):
    """Why two answers may differ, or None."""
    for name, applies in RULES:
        if applies(request, theirs, ours):
            return name
    return None


def text_of(request):
    body = request.body if isinstance(request.body, dict) else {}
    return body.get("filter") or ""


def is_search(request):
    return request.path.endswith("/search")


def normal(request, said):
    """A masked answer without what only one side gives on purpose."""
    if request.path == "runs/search" and isinstance(said, dict):  # upstream leaves the models that a run read out of a search
        for run in said.get("runs", []):
            run.get("inputs", {}).pop("model_inputs", None)
    # A version number given again (its model was deleted and made anew) empties upstream's list of a model's versions.
    for model in (said.get("models", []) + [said.get("model", {})] if isinstance(said, dict) else []):
        for tag in model.get("info", {}).get("tags", []):
            if tag.get("key") == "mlflow.modelVersions":
                tag["value"] = "<versions>"
    if isinstance(said, dict):  # upstream's listing of the proxy leaves out the size of an empty file
        for file in said.get("files", []):
            if file.get("file_size") == 0:
                del file["file_size"]
    return said


RULES = [
    # A user's mistake is never answered with 5xx: clients would try again for minutes.
    ("upstream's 5xx are 4xx", lambda r, t, o: t.status >= 500 and 400 <= o.status < 500),
    # Upstream lets the database refuse and shows its SQL.
    ("upstream's database errors are named", lambda r, t, o: t.error == "BAD_REQUEST" and "(sqlite3." in t.message and o.status in (400, 404)),
    ("what was logged already is no error",
     lambda r, t, o: r.path.endswith(("/params", "runs/outputs")) and t.error == "BAD_REQUEST" and "UNIQUE" in t.message and o.status == 200),
    ("a mistake in a search is INVALID_PARAMETER_VALUE", lambda r, t, o: is_search(r) and t.error == "BAD_REQUEST" and o.error == "INVALID_PARAMETER_VALUE"),
    ("a key twice in one list of tags", lambda r, t, o: 400 <= t.status < 500 and o.status == 400 and o.message.startswith("Duplicate keys")),
    ("errors are JSON", lambda r, t, o: t.error is None and t.status == o.status >= 400),
    ("unknown route is ENDPOINT_NOT_FOUND", lambda r, t, o: t.status in (404, 405) and t.error is None and o.status in (404, 405)),
    ("PUT of an artifact answers {}", lambda r, t, o: r.method == "PUT" and t.status == o.status == 200 and o.json == {}),
    # Every search knows the other names of a field.
    ("field names of other searches are known",
     lambda r, t, o: is_search(r) and t.status == 400 and o.status == 200 and re.search(r"Invalid (entity type|attribute key|order by key)", t.message)),
    ("max_results below 1 is refused", lambda r, t, o: is_search(r) and t.status == 200 and o.status == 400 and r.body.get("max_results", 1) < 1),
    ("OR, NOT, parentheses in filters",
     lambda r, t, o: is_search(r) and t.status >= 400 and o.status == 200 and re.search(r"[()]| or | not ", text_of(r), re.IGNORECASE)),
    ("keywords may be written small", lambda r, t, o: is_search(r) and t.status == 400 and o.status == 200 and re.search(r" (like|ilike|in|is null) ?", text_of(r))),
    ("a key is missing after the dot", lambda r, t, o: is_search(r) and t.status == 200 and o.status == 400 and any(
        re.search(r"\b(metrics|tags|params)\.( |$)", text) for text in [text_of(r), *map(str, r.body.get("order_by") or [])])),
    # Upstream compares numbers with names, and finds nothing or everything.
    ("the status of logged models compares by name", lambda r, t, o: r.path == "logged-models/search" and t.status == 200 and "status" in text_of(r)
     and (o.status == 200 or o.message.startswith("Invalid page token"))),  # of a page that only upstream has
    ("get-artifact looks for the run and at the path in another order", lambda r, t, o: r.path == "/get-artifact" and {t.status, o.status} == {400, 404}),
    ("a list has commas", lambda r, t, o: is_search(r) and t.status == 200 and o.status == 400 and "expected a comma" in o.message),
    ("an unsafe path is refused before it is looked for", lambda r, t, o: "mlflow-artifacts" in r.path and {t.status, o.status} == {400, 404}),
    ("texts are quoted", lambda r, t, o: r.path == "logged-models/search" and t.status == 200 and o.status == 400 and "Expected a quoted" in o.message),
    ("an unknown value of an enumeration is refused",
     lambda r, t, o: t.status == 200 and o.status == 400 and "" in ((r.body or {}).get("run_view_type"), (r.body or {}).get("view_type"), (r.body or {}).get("status"))),
    # Of two mistakes in one request another is named: a version's source is looked for before or after its tags are judged.
    ("of two mistakes another is named first", lambda r, t, o: r.path == "model-versions/create" and t.status == 404 and o.status == 400
     and t.message.startswith("Model Version") and re.search(r"parameter '(key|name|tags.*)'", o.message)),
    ("a tag has a name", lambda r, t, o: r.path.startswith("logged-models/{") and t.status == 200 and o.status == 400 and ".key'" in o.message),
    # An empty list is refused in every search, not only in some.
    ("an empty list is refused", lambda r, t, o: is_search(r) and t.status == 200 and o.status == 400 and "expected a non-empty list" in o.message),
    # Half a filter is a mistake.
    ("half a filter is refused", lambda r, t, o: is_search(r) and t.status == 200 and o.status == 400 and re.search(r"(?i)(\band\b|;)\s*$", text_of(r))),
]
