"""Plays seeded request sequences to the real `mlflow server` and to Lathe and compares every answer: the status, the
error_code and the JSON, with ids and times masked. What we mean to differ in is in meant.py, with its reason.

    tests/differential/play.py --requests 20000 [--seed S] [--each N] [--keep-going] [--messages]
"""
import argparse
import collections
import pathlib
import sys
import tempfile
import time

import requests

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import compare  # noqa: E402
import meant  # noqa: E402
import servers  # noqa: E402
from generator import Generator  # noqa: E402
from world import Names, dig  # noqa: E402


class Side:
    """One server and its ids."""

    def __init__(self, url):
        self.url, self.names = url, Names()
        self.http = requests.Session()
        self.http.trust_env = False

    def ask(self, request):
        url, body = request.url(self.url, self.names), self.names.fill(request.body)
        if request.raw is not None:
            answer = self.http.request(request.method, url, data=request.raw, timeout=60)
        elif request.method == "GET":
            answer = self.http.get(url, params=body, timeout=60)
        else:
            answer = self.http.request(request.method, url, json=body, timeout=60)
        return Answer(answer)

    def learn(self, request, answer):
        for name, path in request.learn.items():
            value = dig(answer.json, path) if answer.status == 200 else None
            if value is not None:
                self.names.learn(name, str(value))


class Answer:
    def __init__(self, response):
        self.status = response.status_code
        try:
            self.json = response.json()
        except ValueError:
            self.json = None
        self.text = response.text if self.json is None else ""
        self.bytes = response.content if self.json is None else b""
        self.error = self.json.get("error_code") if isinstance(self.json, dict) and self.status >= 400 else None
        self.message = self.json.get("message", "") if self.error else ""

    def said(self, names):
        """What is compared: of an error its code, whose text is for people."""
        if self.status >= 400:
            return self.status, self.error
        return self.status, compare.mask(self.json, names) if self.json is not None else self.bytes

    def __repr__(self):
        return f"{self.status} {str(self.json if self.json is not None else self.bytes)[:600]}"


class Play:
    def __init__(self, keep_going=False, messages=False):
        self.keep_going, self.show_messages = keep_going, messages
        self.counts, self.meant = collections.Counter(), collections.Counter()
        self.messages = {}
        self.differences = []

    def run(self, seed, count, until=None):
        """One sequence against two fresh servers."""
        with tempfile.TemporaryDirectory(prefix="lathe-differential-") as home:
            homes = [pathlib.Path(home) / "upstream", pathlib.Path(home) / "lathe"]
            for folder in homes:
                folder.mkdir()
            peer = servers.Mlflow(homes[0])
            try:
                ours = servers.lathe(homes[1])
                try:
                    self.play(Generator(seed), Side(peer.url), Side(ours.url), seed, count, until)
                finally:
                    ours.down()
            finally:
                peer.down()

    def play(self, generator, upstream, lathe, seed, count, until):
        for number in range(count):
            if until and time.monotonic() > until:
                return
            request = generator.next()
            theirs, ours = upstream.ask(request), lathe.ask(request)
            upstream.learn(request, theirs)
            lathe.learn(request, ours)
            generator.told(request, theirs.status == 200 and all(name in upstream.names.ids for name in request.learn))
            kind = request.path.split("{")[0].split("?")[0]
            self.counts[kind, theirs.status] += 1
            a, b = ((s, meant.normal(request, said)) for s, said in (theirs.said(upstream.names), ours.said(lathe.names)))
            if theirs.error and ours.error:
                self.messages.setdefault((kind, upstream.names.mask(theirs.message)[:160], lathe.names.mask(ours.message)[:160]), request)
            if compare.same(list(a), list(b)):
                continue
            reason = meant.reason(request, theirs, ours)
            if reason:
                self.meant[reason] += 1
                continue
            where = compare.difference(a[1], b[1]) if a[0] == b[0] else f"status {a[0]} {theirs.error} against {b[0]} {ours.error}"
            self.differences.append(f"seed {seed}, request {number}: {request!r}\n  {where}\n  upstream: {theirs!r}\n  lathe:    {ours!r}")
            print(self.differences[-1], flush=True)
            if not self.keep_going:
                return

    @property
    def total(self):
        return sum(self.counts.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--each", type=int, default=2000, help="requests of one sequence; a new one has fresh servers")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, help="end after so long")
    parser.add_argument("--keep-going", action="store_true", help="go on after a difference")
    parser.add_argument("--messages", action="store_true", help="print the pairs of error messages")
    args = parser.parse_args()
    play = Play(args.keep_going, args.messages)
    until = time.monotonic() + args.minutes * 60 if args.minutes else None
    seed, began = args.seed, time.monotonic()
    while play.total < args.requests and (args.keep_going or not play.differences) and not (until and time.monotonic() > until):
        play.run(seed, min(args.each, args.requests - play.total), until)
        print(f"seed {seed}: {play.total} requests after {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        seed += 1
    if args.messages:
        for kind, theirs, ours in sorted(play.messages):
            if theirs != ours:
                print(f"{kind}\n  upstream: {theirs}\n  lathe:    {ours}")
    good = sum(n for (_, status), n in play.counts.items() if status == 200)
    print(f"{play.total} requests ({good} with status 200) in {time.monotonic() - began:.0f} s, seeds {args.seed} to {seed - 1}: "
          f"{len(play.differences)} unlisted differences; meant ones: {dict(play.meant) or 'none'}")
    return 1 if play.differences else 0


if __name__ == "__main__":
    sys.exit(main())
