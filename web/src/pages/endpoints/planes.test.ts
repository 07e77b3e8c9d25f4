import { describe, expect, test } from "vitest";
import { certificateState, planeState } from "./planes";
import type { Plane } from "./types";

const endpoint = (current: boolean, problem?: string) => ({ name: "e", revision: 1, generation: 1, wanted_revision: 1, wanted_generation: 1, current, problem });
const plane = (part: Partial<Plane>): Plane => ({ id: "pn_1", name: "edge", version: "1", address: "a:1", principal: "service:edge", started_us: 0, seen_us: Date.now() * 1000, connected: true, current: true, position: "0.1", captures_waiting_since_us: null, certificate_ends_us: null, captures_sent: 0, captures_lost: 0, endpoints: [], ...part });

describe("a plane", () => {
  test("that does not report is lost, whatever it served", () => expect(planeState(plane({ connected: false, endpoints: [endpoint(false, "no room")] })).status).toBe("lost"));
  test("says what is in its way before what is late", () => {
    expect(planeState(plane({ endpoints: [endpoint(true), endpoint(false)] }))).toEqual({ status: "loading", label: "Behind by 1 endpoint" });
    expect(planeState(plane({ endpoints: [endpoint(false), endpoint(true, "no room")] })).status).toBe("failed");
    expect(planeState(plane({ endpoints: [endpoint(true)] })).label).toBe("In touch");
  });
});
test("a certificate warns two weeks before its end", () => {
  const now = Date.UTC(2030, 0, 1);
  const days = (n: number) => (now + n * 86_400_000) * 1000;
  expect(certificateState(null, now)).toEqual({ status: "", label: "none" });
  expect(certificateState(days(40), now)).toEqual({ status: "", label: "in 40 days" });
  expect(certificateState(days(13), now).status).toBe("warning");
  expect(certificateState(days(-1), now)).toEqual({ status: "failed", label: "Has ended" });
});
