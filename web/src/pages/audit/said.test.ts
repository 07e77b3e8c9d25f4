import { expect, test } from "vitest";
import type { AuditLine } from "../admin/types";
import { said, subjectOf } from "./said";

const line = (action: string, kind: string, id: string, body: Record<string, unknown> = {}): AuditLine => ({ id: 1, at_us: 0, actor: "user:ann", action, subject: { kind, id }, request_id: "", body });

test("an alias is set, then moved", () => {
  expect(said(line("alias.set", "model_version", "digits/1", { alias: "champion" }))).toBe("set alias champion on v1");
  expect(said(line("alias.set", "model_version", "digits/2", { alias: "champion", previous: "1" }))).toBe("moved alias champion from v1 to v2");
  expect(said(line("alias.set", "model_version", "digits/2", { alias: "champion", previous: "2" }))).toBe("set alias champion on v2");
});
test("a stage says where it came from, where that is known", () => {
  expect(said(line("model_version.staged", "model_version", "digits/2", { stage: "Staging", previous: "None" }))).toBe("moved v2 from stage None to stage Staging");
  expect(said(line("model_version.staged", "model_version", "digits/2", { stage: "Staging" }))).toBe("moved v2 to stage Staging");
});
test("a promotion is of the endpoint, and about the model", () => {
  const promoted = line("model_version.promoted", "endpoint", "digits", { model: "numbers", version: 4, revision: 9 });
  expect(said(promoted)).toBe("promoted v4 to endpoint digits");
  expect(subjectOf(promoted)).toEqual({ model: "numbers", version: "4" });
});
test("a long value stays in the store", () => expect(said(line("registered_model.tagged", "registered_model", "digits", { key: "note" }))).toBe("tagged the model: note = …"));
test("what is not known is told by its name", () => expect(said(line("user.roles_changed", "user", "ann"))).toBe("user roles changed"));
