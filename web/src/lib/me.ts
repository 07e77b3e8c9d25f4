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
  session?: boolean; // signed in here, so one can sign out
}

export function useMe(project: string) {
  return useQuery<Me, ApiError>({ queryKey: [project, "/me", {}], queryFn: ({ signal }) => get<Me>("/me", undefined, signal), meta: { topics: ["principal", "user", "project"] } });
}

/** The server decides; this only greys what it would refuse, and says why. */
export type Permission = "read" | "write" | "infer" | "run-code" | "admin" | "server"; // "server": what only its administrators may
export const may = (me: Me | undefined, what: Permission): boolean => !me || (what === "server" ? me.admin : me.permissions.includes(what));

const DENIED: Record<Permission, string> = {
  read: "You have no role in this project.",
  write: "You may look here, not change anything: that takes the role editor.",
  infer: "Asking an endpoint takes the role infer, runner or editor.",
  "run-code": "This runs code or changes what is served: that takes the role runner.",
  admin: "Only an administrator of this project may do this.",
  server: "Only an administrator of the server may do this.",
};
/** Why an act is not theirs; as the `title` of what is greyed. */
export const denied = (what: Permission): string => DENIED[what];
