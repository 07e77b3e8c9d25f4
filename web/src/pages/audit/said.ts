// An audit line of the registry as a sentence: "moved alias champion from v1 to v2".
import type { AuditLine } from "../admin/types";

const words = (action: string) => action.replace(".", " ").replaceAll("_", " ");
const text = (value: unknown): string => (typeof value === "string" || typeof value === "number" ? String(value) : "");

/** "digits/3" → ["digits", "3"]; a model alone has no version. */
export function subjectOf(line: AuditLine): { model: string; version: string } {
  if (line.subject.kind === "registered_model") return { model: line.subject.id, version: "" };
  if (line.subject.kind === "model_version") {
    const at = line.subject.id.lastIndexOf("/");
    return { model: line.subject.id.slice(0, at), version: line.subject.id.slice(at + 1) };
  }
  return { model: text(line.body.model), version: text(line.body.version) };
}

export function said(line: AuditLine): string {
  const { body } = line;
  const { version } = subjectOf(line);
  const what = version ? `v${version}` : "the model";
  const before = text(body.previous);
  switch (line.action) {
    case "registered_model.created": return "created the model";
    case "registered_model.renamed": return `renamed the model from ${line.subject.id} to ${text(body.new_name)}`;
    case "registered_model.updated": case "model_version.updated": return `changed the description of ${what}`;
    case "registered_model.deleted": case "model_version.deleted": return `deleted ${what}`;
    case "registered_model.tagged": case "model_version.tagged": return `tagged ${what}: ${text(body.key)} = ${"value" in body ? text(body.value) : "…"}`;
    case "registered_model.untagged": case "model_version.untagged": return `removed the tag ${text(body.key)} of ${what}`;
    case "model_version.created": return `created ${what}`;
    case "model_version.imported": return `imported ${what}`;
    case "model_version.staged": return `moved ${what} ${before ? `from stage ${before} ` : ""}to stage ${text(body.stage)}`;
    case "alias.set": return before && before !== version ? `moved alias ${text(body.alias)} from v${before} to ${what}` : `set alias ${text(body.alias)} on ${what}`;
    case "alias.deleted": return `removed alias ${text(body.alias)}`;
    case "model_version.promoted": return `promoted ${what} to endpoint ${line.subject.id}`;
    case "model_version.rolled_back": return `rolled endpoint ${line.subject.id} back to ${what}`;
    case "model_version.canary": return `gave ${what} a share of endpoint ${line.subject.id}`;
    case "model_version.withdrawn": return `took ${what} out of endpoint ${line.subject.id}`;
    default: return words(line.action);
  }
}
