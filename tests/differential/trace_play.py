"""Seeded sequences of trace requests, played to the real `mlflow server` and to Lathe; each answer must be the same, with
ids and times masked. Where we mean to differ (docs/design/traces.md), the sequences do not go, or excused() says so.

    .venv/bin/python tests/differential/trace_play.py http://UPSTREAM http://LATHE [--requests 2000] [--seed 1]
"""
import argparse
import json
import random
import re
import sys

import requests

FILTERS = [
    "status = 'OK'", "status != 'OK'", "status IN ('OK','ERROR')", "status NOT IN ('OK')", "tags.a = 'x'", "tags.a != 'x'",
    "tags.a LIKE '%x%'", "tags.a ILIKE 'X'", "tags.a RLIKE '^[xy]$'", "tags.a IS NULL", "tags.a IS NOT NULL", "name = 'n1'",
    "name LIKE 'n%'", "metadata.k = 'v'", "metadata.k IS NULL", "metadata.mlflow.trace.session = 's'",
    "metadata.mlflow.trace.session IS NULL", "metadata.`mlflow.trace.tokenUsage` IS NOT NULL", "timestamp_ms > 1767225602000",
    "execution_time_ms <= 1500", "end_time_ms > 1767225603000", "client_request_id = 'c1'", "span.name = 's1'",
    "span.name != 's1'", "span.name IN ('s1')", "span.type = 'LLM'", "span.status = 'ERROR'", "span.attributes.y LIKE '%blue%'",
    "span.attributes.y RLIKE '^blue'", "span.content LIKE '%Ünï%'", "trace.text ILIKE '%BLUE%'", "feedback.good = 'true'",
    "feedback.good != 'true'", "feedback.good IS NULL", "feedback.good IS NOT NULL", "feedback.num > 0.5", "feedback.num <= 0.5",
    "expectation.e = 'yes'",
]
MISTAKES = ["bogus = 'x'", "status > 'OK'", "span.bogus = 'x'", "feedback.num > 'x'", "tags.a = x", "prompt = 'p'", "span.content = 'x'",
            "metrics.a > 1"]
ORDERS = ["timestamp_ms ASC", "timestamp_ms DESC", "execution_time_ms DESC", "name ASC", "status", "request_id DESC", "tags.a ASC",
          "metadata.k DESC", "metadata.mlflow.trace.session ASC", "bogus"]
FIGURES = [("TRACES", "trace_count", "COUNT", ["trace_status"]), ("TRACES", "latency", "AVG", ["trace_name"]), ("TRACES", "total_tokens", "SUM", []),
           ("TRACES", "session_count", "COUNT", []), ("TRACES", "latency", "SUM", []), ("SPANS", "span_count", "COUNT", ["span_type", "span_name"]),
           ("SPANS", "latency", "MAX", ["span_name"]), ("SPANS", "input_cost", "SUM", ["span_name"]),
           ("ASSESSMENTS", "assessment_count", "COUNT", ["assessment_name"]), ("ASSESSMENTS", "assessment_value", "AVG", ["assessment_name"])]
ATTRIBUTES = [("mlflow.spanType", {"stringValue": "LLM"}), ("x", {"intValue": "5"}), ("y", {"stringValue": "blue é"}), ("d", {"doubleValue": 1e-7}),
              ("mlflow.spanInputs", {"kvlistValue": {"values": [{"key": "q", "value": {"stringValue": "hi"}}]}}),
              ("mlflow.spanOutputs", {"stringValue": "out"}), ("user.id", {"stringValue": "u"}),
              ("l", {"arrayValue": {"values": [{"boolValue": True}, {"stringValue": "z"}]}}),
              ("mlflow.chat.tokenUsage", {"kvlistValue": {"values": [{"key": k, "value": {"intValue": n}} for k, n in
                                                                     (("input_tokens", "4"), ("output_tokens", "5"), ("total_tokens", "9"))]}})]


def masked(value):
    if isinstance(value, dict):
        return {k: masked(v) for k, v in sorted(value.items()) if k not in ("sqlstate", "error_class", "next_page_token", "message")}
    if isinstance(value, list):
        return [masked(v) for v in value]
    if isinstance(value, str):
        value = re.sub(r"\b(a|tr)-[0-9a-f]{32}", r"\1-ID", value)
        value = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", value)
        return re.sub(r"mlflow-artifacts:/\d+", "mlflow-artifacts:/EXP", re.sub(r"^\d+$", "N", value))
    return "BIG" if isinstance(value, int) and value > 1e12 else value


def said(answer):
    body = masked(answer.json()) if answer.text else {}
    for trace in body.get("traces", []) + body.get("trace_infos", []) + [body.get("trace", {})]:  # in no order upstream
        info = trace.get("trace_info", trace)
        info.get("assessments", []).sort(key=lambda a: json.dumps(a, sort_keys=True))
    return answer.status_code, body


def excused(theirs, ours):
    """A trace that is not there: the SQL error's 400 upstream. Spans that are a file: 500 upstream."""
    return theirs.status_code == 500 or (theirs.status_code, ours.status_code) == (400, 404)


class Play:
    def __init__(self, upstream, lathe, seed):
        self.urls = (upstream.rstrip("/"), lathe.rstrip("/"))
        self.random = random.Random(seed)
        self.session = requests.Session()
        self.session.trust_env = False
        self.experiments = [self.session.post(u + "/api/2.0/mlflow/experiments/create", json={"name": f"traces-{seed}-{random.getrandbits(40)}"})
                            .json()["experiment_id"] for u in self.urls]
        self.ids = [f"tr-{self.random.getrandbits(128):032x}" for _ in range(8)]
        self.told = set()  # told before: upstream loses the tags of a second info
        self.assessments = []
        self.differences, self.total = [], 0

    def ask(self, method, path, body=None, params=None, headers=None):
        """The same to both; {experiment} in a body is each one's own."""
        answers = []
        for url, experiment in zip(self.urls, self.experiments):
            own = None if body is None else json.loads(json.dumps(body).replace('"{experiment}"', json.dumps(experiment)))
            own_headers = {k: experiment if v == "{experiment}" else v for k, v in (headers or {}).items()}
            answers.append(self.session.request(method, url + path, json=own, params=params, headers=own_headers, timeout=60))
        self.total += 1
        theirs, ours = answers
        if not excused(theirs, ours) and said(theirs) != said(ours):
            self.differences.append(f"{method} {path} {json.dumps(body)} {params or ''}\n  upstream {theirs.status_code} {theirs.text[:2000]}\n"
                                    f"  lathe    {ours.status_code} {ours.text[:2000]}")
        return answers

    def start(self):
        r, trace = self.random, self.random.choice(self.ids)
        info = {"trace_id": trace, "request_time": f"2026-01-01T00:00:0{r.randrange(5)}Z", "execution_duration": r.choice(["1.5s", "0.02s", "0s"]),
                "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "{experiment}"}},
                "state": r.choice(["OK", "ERROR", "IN_PROGRESS"]), "tags": r.choice([{}, {"a": "x"}, {"a": "y", "mlflow.traceName": "n1"}, {"mlflow.traceName": "n2"}]),
                "trace_metadata": r.choice([{}, {"k": "v"}, {"mlflow.trace.session": r.choice("st")},
                                            {"mlflow.trace.tokenUsage": '{"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}', "k": "w"},
                                            {"mlflow.trace.cost": '{"input_cost": 0.1, "output_cost": 0.2, "total_cost": 0.3}'}])}
        if trace in self.told:
            info["tags"].pop("a", None)
        self.told.add(trace)
        if r.random() < 0.3:
            info |= {"request_preview": "rp", "client_request_id": r.choice(["c1", "c2"])}
        self.ask("POST", "/api/3.0/mlflow/traces", {"trace": {"trace_info": info}})

    def spans(self):
        r, trace = self.random, self.random.choice(self.ids)
        self.told.add(trace)
        spans, numbers = [], r.sample([1, 2, 3, 4], 4)
        for i in range(r.randrange(1, 4)):
            # With a session: without, upstream lets spans move the times of a finished trace.
            attributes = [("session.id", {"stringValue": "s"})] + r.sample(ATTRIBUTES, r.randrange(0, 5))
            span = {"traceId": trace[3:], "spanId": f"{numbers[i]:016x}", "name": r.choice(["s1", "s2", "Ünï"]),
                    "startTimeUnixNano": str(1767225600000000000 + r.randrange(5) * 10**9), "endTimeUnixNano": str(1767225610000000000 + r.randrange(3) * 10**9),
                    "status": r.choice([{}, {"code": 1}, {"code": 2, "message": "m"}]), "attributes": [{"key": k, "value": v} for k, v in attributes]}
            if i and numbers[i] != 1 and r.random() < 0.7:
                span["parentSpanId"] = f"{1:016x}"
            if r.random() < 0.3:
                span["events"] = [{"name": "e", "timeUnixNano": "1767225600000000001", "attributes": [{"key": "a", "value": {"intValue": "1"}}]}]
            spans.append(span)
        resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]} if r.random() < 0.5 else {}
        body = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]}
        for url, experiment in zip(self.urls, self.experiments):
            self.session.post(url + "/v1/traces", json=body, headers={"x-mlflow-experiment-id": experiment}, timeout=60).raise_for_status()

    def assessment(self):
        r, name = self.random, self.random.choice(["good", "num", "e"])
        value = {"good": lambda: {"feedback": {"value": r.choice([True, False, "x"])}},
                 "num": lambda: {"feedback": {"value": r.choice([0.5, 1, "a", None, [1, "b"]])}},
                 "e": lambda: {"expectation": r.choice([{"value": "yes"}, {"value": 3}, {"serialized_value": {"serialization_format": "JSON_FORMAT", "value": '{"a": [1]}'}}, {}])}}
        return {"assessment_name": name, "source": {"source_type": r.choice(["HUMAN", "CODE"]), "source_id": "u"}, "create_time": "2026-01-01T00:00:00Z",
                "last_update_time": "2026-01-01T00:00:00Z", **value[name](),
                **r.choice([{}, {"rationale": "r"}, {"metadata": {"m": "n"}}, {"metadata": {"mlflow.trace.session": "s"}}, {"span_id": "01"}])}

    def assess(self):
        trace = self.random.choice(self.ids)
        answers = self.ask("POST", f"/api/3.0/mlflow/traces/{trace}/assessments", {"assessment": self.assessment()})
        if all(a.status_code == 200 for a in answers):
            self.assessments.append((trace, [a.json()["assessment"]["assessment_id"] for a in answers]))

    def edit_assessment(self):
        if not self.assessments:
            return
        trace, ids = self.random.choice(self.assessments)
        method = self.random.choice(["PATCH", "PATCH", "DELETE", "GET"])
        body = {"assessment": self.assessment(), "update_mask": self.random.choice(["rationale", "metadata", "assessmentName,rationale"])}
        answers = [self.session.request(method, f"{url}/api/3.0/mlflow/traces/{trace}/assessments/{id}", json=body if method == "PATCH" else {}, timeout=60)
                   for url, id in zip(self.urls, ids)]
        self.total += 1
        if not excused(*answers) and said(answers[0]) != said(answers[1]):
            self.differences.append(f"{method} assessment {json.dumps(body)}\n  upstream {answers[0].text[:1000]}\n  lathe    {answers[1].text[:1000]}")

    def tag(self):
        trace, key = self.random.choice(self.ids), self.random.choice(["a", "b", "mlflow.traceName", "a//b"])
        method = self.random.choice(["PATCH", "PATCH", "DELETE"])
        self.ask(method, f"/api/3.0/mlflow/traces/{trace}/tags", {"key": key, "value": "x"} if method == "PATCH" else {"key": key})

    def look(self):
        kind, ids = self.random.randrange(3), self.random.sample(self.ids, 3)
        if kind == 0:
            self.ask("GET", f"/api/3.0/mlflow/traces/{ids[0]}")
        elif kind == 1:
            self.ask("GET", "/api/3.0/mlflow/traces/batchGet", params={"trace_ids": ids})
        else:
            self.ask("POST", "/api/3.0/mlflow/traces/batchGetInfos", {"trace_ids": ids})

    def delete(self):
        trace = self.random.choice(self.ids)
        self.told.discard(trace)
        self.ask("POST", "/api/3.0/mlflow/traces/delete-traces", {"experiment_id": "{experiment}", "request_ids": [trace]})

    def figures(self):
        if self.random.random() < 0.5:
            one, two = self.random.choice(FILTERS), self.random.choice(FILTERS)
            self.ask("POST", "/api/3.0/mlflow/traces/calculate-filter-correlation",
                     {"experiment_ids": ["{experiment}"], "filter_string1": one, "filter_string2": two})
        else:
            view, metric, how, dimensions = self.random.choice(FIGURES)
            self.ask("POST", "/api/3.0/mlflow/traces/metrics", {"experiment_ids": ["{experiment}"], "view_type": view, "metric_name": metric,
                                                                "aggregations": [{"aggregation_type": how}], "dimensions": dimensions})

    def search(self):
        r = self.random
        terms = r.sample(FILTERS, r.choice([0, 1, 1, 1, 2])) + ([r.choice(MISTAKES)] if r.random() < 0.1 else [])
        self.ask("POST", "/api/3.0/mlflow/traces/search",
                 {"locations": [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "{experiment}"}}], "filter": " AND ".join(terms),
                  "order_by": r.sample(ORDERS, r.choice([0, 1, 1, 2])), "max_results": 20})

    def run(self, count):
        acts = [(14, self.start), (16, self.spans), (10, self.assess), (8, self.edit_assessment), (4, self.tag), (12, self.look), (2, self.delete),
                (8, self.figures), (26, self.search)]
        while self.total < count:
            self.random.choices([act for _, act in acts], [weight for weight, _ in acts])[0]()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("upstream")
    parser.add_argument("lathe")
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--each", type=int, default=500, help="requests of one seed")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    total, differences = 0, []
    while total < options.requests:
        play = Play(options.upstream, options.lathe, options.seed)
        play.run(min(options.each, options.requests - total))
        total, options.seed, differences = total + play.total, options.seed + 1, differences + play.differences
    print("\n".join(differences[:10]))
    print(f"{total} requests, {len(differences)} differences")
    sys.exit(1 if differences else 0)
