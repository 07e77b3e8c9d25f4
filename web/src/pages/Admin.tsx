// Who comes: an administrator. The question: who may do what, which tokens are alive, who did this. Next: add, narrow, revoke.
import { getRouteApi } from "@tanstack/react-router";
import { PageHead } from "../components/PageHead";
import { Problem, Waiting } from "../components/Problem";
import { type Tab, Tabs } from "../components/Tabs";
import { ApiError } from "../lib/api";
import { lastProject } from "../lib/places";
import { denied, may, useMe } from "../lib/me";
import { About } from "./admin/About";
import { Audit } from "./admin/Audit";
import { Tokens } from "./admin/Tokens";
import { Users } from "./admin/Users";
import { Webhooks } from "./admin/Webhooks";

const route = getRouteApi("/shell/admin/{-$section}");
const SECTIONS = ["users", "tokens", "webhooks", "audit", "about"] as const;

export function Admin() {
  const { section: given } = route.useParams();
  const me = useMe(lastProject());
  const rules = may(me.data, "server");
  const tabs: Tab[] = [{ id: "users", label: "Users", hidden: !rules }, { id: "tokens", label: "Tokens" }, { id: "webhooks", label: "Webhooks", hidden: !may(me.data, "admin") }, { id: "audit", label: "Audit", hidden: !may(me.data, "admin") }, { id: "about", label: "About" }];
  const section = SECTIONS.find((s) => s === given) ?? (rules ? "users" : "tokens");
  const hidden = tabs.find((t) => t.id === section)?.hidden;
  return (
    <section className="page">
      <PageHead title="Admin" note={me.data?.mode === "local" ? "local mode: whoever owns this server's process may do all" : undefined} />
      <Tabs tabs={tabs} active={section} to={(id) => `/admin/${id}`} label="Administration" />
      {me.isPending ? <Waiting /> /* what is asked for depends on who asks */ : hidden ? <Problem error={new ApiError(403, "forbidden", denied(section === "users" ? "server" : "admin"), "")} />
        : section === "users" ? <Users /> : section === "tokens" ? <Tokens all={rules} me={me.data} /> : section === "webhooks" ? <Webhooks /> : section === "audit" ? <Audit /> : <About />}
    </section>
  );
}
