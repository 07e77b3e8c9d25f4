export interface User { name: string; kind: "user" | "service"; admin: boolean; disabled: boolean; created_us: number; roles: Record<string, string[]> }
export interface Token { id: string; user: string; label: string; role: string; project: string; created_us: number; expires_us: number; last_used_us: number }
export interface AuditLine { id: number; at_us: number; actor: string; action: string; subject: { kind: string; id: string }; request_id: string; body: Record<string, unknown> }

export const ROLES = ["viewer", "contributor", "editor", "runner", "admin", "infer", "plane"] as const;
export const ROLE_WORDS: Record<string, string> = {
  viewer: "sees everything of the project",
  contributor: "reads everything, and manages the experiments and models that are his own",
  editor: "also changes runs, models and data",
  runner: "also runs code: pipelines and notebooks",
  admin: "everything in the project",
  infer: "asks endpoints for predictions, nothing else",
  plane: "is a data plane: serves the endpoints elsewhere, nothing else",
};

export interface Webhook {
  id: string; name: string; description: string; url: string; active: boolean; signed: boolean; events: string[]; created_ms: number; updated_ms: number;
  deliveries: { waiting: number; delivered: number; dead: number };
}
export interface Delivery {
  id: string; webhook: string; webhook_name: string; event: string; state: "waiting" | "delivered" | "dead"; attempts: number;
  created_us: number; due_us: number; finished_us: number; status: number; error: string; // status 0: no answer
}
