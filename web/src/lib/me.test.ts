import { expect, test } from "vitest";
import { type Me, denied, may } from "./me";

const me = (permissions: Me["permissions"], admin = false): Me => ({ name: "ann", kind: "user", roles: [], admin, project: "default", projects: ["default"], mode: "users", permissions, by_resource: false, creates: false, reads_project: true });

test("an act is by its permission; the server's own are its administrators'", () => {
  expect(may(me(["read", "infer"]), "infer")).toBe(true);
  expect(may(me(["read"]), "write")).toBe(false);
  expect(may(me(["read", "write", "infer", "run-code", "admin"]), "server")).toBe(false);
  expect(may(me(["read"], true), "server")).toBe(true);
});
test("what belongs to a contributor is the server's to decide", () => {
  expect(may(me(["read"]), "own")).toBe(false);
  expect(may({ ...me(["read"]), by_resource: true }, "own")).toBe(true);
  expect(may({ ...me(["read"]), by_resource: true }, "write")).toBe(false);
  expect(may(me(["read", "write"]), "own")).toBe(true);
});
test("until it is known who looks nothing is greyed", () => expect(may(undefined, "server")).toBe(true));
test("each reason says what it takes", () => {
  for (const what of ["write", "infer", "run-code", "admin", "server"] as const) expect(denied(what)).toMatch(/role|administrator/);
});
