// Who is looking: one request, shared by the shell and by every act that asks what may be done.
import { useQuery } from "@tanstack/react-query";
import { type ApiError, get } from "./api";

export interface Me {
  name: string;
  kind: "local" | "user" | "service" | "attempt";
  roles: string[];
  admin: boolean; // of the server
  project: string;
  projects: string[];
  mode: "local" | "users";
  permissions: Permission[]; // in this project
  by_resource: boolean; // rights by experiment and model, above or below the role's
  creates: boolean; // may make experiments and models
  reads_project: boolean; // the project's pages answer
  session?: boolean; // signed in here, so one can sign out
}

export function useMe(project: string) {
  return useQuery<Me, ApiError>({ queryKey: [project, "/me", {}], queryFn: ({ signal }) => get<Me>("/me", undefined, signal), meta: { topics: ["principal", "user", "project"] } });
}

/** The server decides; this only greys what it would refuse, and says why. "own": to change experiments, runs, models and traces, which
 * whoever has rights by experiment may do with some of them; "server": what only its administrators may. */
export type Permission = "read" | "write" | "own" | "infer" | "run-code" | "admin" | "server";
export function may(me: Me | undefined, what: Permission): boolean {
  if (!me) return true;
  if (what === "server") return me.admin;
  if (what === "own") return me.permissions.includes("write") || me.by_resource;
  return me.permissions.includes(what);
}

const DENIED: Record<Permission, string> = {
  read: "You have no role in this project.",
  write: "You may look here, not change anything: that takes the role editor.",
  own: "You may look here, not change anything: that takes the role contributor or editor.",
  infer: "Asking an endpoint takes the role infer, runner or editor.",
  "run-code": "This runs code or changes what is served: that takes the role runner.",
  admin: "Only an administrator of this project may do this.",
  server: "Only an administrator of the server may do this.",
};
/** Why an act is not theirs; as the `title` of what is greyed. */
export const denied = (what: Permission): string => DENIED[what];
