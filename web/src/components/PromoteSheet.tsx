// Promotion and rollback: the sheet says what will change, in numbers, before it happens; the toast after it has the way
// back. Both ask the server what the act would do now, so that a sheet left open does not promise what is no longer true.
import { IconArrowRight } from "@tabler/icons-react";
import type { ReactNode } from "react";
import { type ApiError, refresh, send } from "../lib/api";
import { plural } from "../lib/format";
import { toast, toastError } from "../lib/toast";
import { type Preview, type Promotion, usePage, interval } from "../lib/tracking";
import { ConfirmSheet } from "./ConfirmSheet";
import { Problem, Waiting } from "./Problem";
import classes from "./PromoteSheet.module.css";
import { VerdictTable } from "./Verdict";

const TOUCHED = ["/pages/models", "/pages/promotion", "/pages/rollback", "/pages/evaluations", "/pages/endpoints", "/pages/overview", "/promotions", "/endpoints"];
const name = (m: { model: string; version: number } | null) => (m ? `${m.model} v${m.version}` : "nothing");

async function rollBack(endpoint: string): Promise<void> {
  const done = await send<Promotion>(`/endpoints/${encodeURIComponent(endpoint)}/rollback`);
  toast(`${done.model} v${done.version} serves ${endpoint} again`);
  void refresh(...TOUCHED);
}

function Change({ what, from, to, note }: { what: string; from: ReactNode; to: ReactNode; note?: ReactNode }) {
  return (
    <li>
      <span className={classes.what}>{what}</span>
      <span className={classes.change}><span className="muted">{from}</span> <IconArrowRight size={14} aria-label="becomes" role="img" /> <b>{to}</b></span>
      {note && <span className={`${classes.note} muted small`}>{note}</span>}
    </li>
  );
}

/** What to promote: the verdict, and where to. */
export interface Promotable { verdict: string; environment: string }
export const asked = (p: Preview): Promotable => ({ verdict: p.verdict?.id ?? "", environment: p.environment });

export function PromoteSheet({ of, onClose }: { of: Promotable | null; onClose: () => void }) {
  const { verdict, environment } = of ?? { verdict: "", environment: "" };
  const query = usePage<Preview>("/promotion", { verdict, environment }, { topics: ["endpoint", "model_version", "verdict"], enabled: verdict !== "" });
  const p = query.data;
  const then = name(p?.then ?? null);
  async function run() {
    const done = await send<Promotion>("/promotions", { verdict, environment });
    void refresh(...TOUCHED);
    if (done.kind === "canary") return toast(`${done.model} v${done.version} has a share of ${done.endpoint}: a canary`);
    const first = done.previous === 0;
    toast(`${done.model} v${done.version} serves ${done.endpoint}`, first ? undefined : { label: "Roll back", run: () => void rollBack(done.endpoint).catch((e: ApiError) => toastError("The rollback failed", e)) });
  }
  return (
    <ConfirmSheet
      opened={verdict !== ""} onClose={onClose} run={run} width={720}
      title={p ? `Promote ${then} to ${p.environment}` : "Promote"}
      confirm={p?.then ? `Promote v${p.then.version}` : "Promote"}
      disabled={!p ? "Reading what would change" : (p.refusal ? `It may not: ${p.refusal}.` : undefined)}
    >
      {query.isError ? <Problem error={query.error} what="What would change" retry={() => void query.refetch()} /> : !p ? <Waiting rows={5} /> : (
        <div className={classes.sheet}>
          <section>
            <h3>What changes</h3>
            <ul className={classes.changes}>
              <Change what="Traffic" from={p.now ? name(p.now) : "nothing serves"} to={then} note={<>All requests to <b>{p.endpoint}</b> ({p.environment}). It is loaded and tried first; requests under way end with the old version.</>} />
              {p.registers && <Change what="Registry" from="logged model" to={then} note={`${p.then?.subject ?? ""} becomes a registered version.`} />}
              <Change what="Alias" from={p.now ? `@${p.alias} is v${p.now.version}` : `@${p.alias} is not set`} to={`@${p.alias} is v${p.then?.version ?? ""}`} />
              {p.baseline && <Change what="Baseline" from="of the old version" to={`${p.baseline.part}, ${plural(p.baseline.rows, "row")}`} note={`Monitoring compares traffic with these rows (${p.baseline.metric} ${interval(p.baseline)}).`} />}
            </ul>
          </section>
          {p.verdict && (
            <section>
              <h3>Why it may</h3>
              <VerdictTable verdict={p.verdict} challenger={p.then ? `v${p.then.version}` : undefined} champion={p.now ? `v${p.now.version}` : undefined} />
            </section>
          )}
          <p className="muted small">The version that serves now stays loaded: one click goes back.</p>
        </div>
      )}
    </ConfirmSheet>
  );
}

export function RollbackSheet({ endpoint, onClose }: { endpoint: string; onClose: () => void }) {
  const query = usePage<Preview>("/rollback", { endpoint }, { topics: ["endpoint", "model_version"], enabled: endpoint !== "" });
  const p = query.data;
  return (
    <ConfirmSheet
      opened={endpoint !== ""} onClose={onClose} run={() => rollBack(endpoint)}
      title={p?.then ? `Roll ${endpoint} back to v${p.then.version}` : `Roll ${endpoint} back`}
      confirm={p?.then ? `Roll back to v${p.then.version}` : "Roll back"}
      disabled={!p ? "Reading what would change" : (p.refusal ?? undefined)}
    >
      {query.isError ? <Problem error={query.error} what="What would change" retry={() => void query.refetch()} /> : !p ? <Waiting rows={4} /> : (
        <div className={classes.sheet}>
          <section>
            <h3>What changes</h3>
            <ul className={classes.changes}>
              <Change what="Traffic" from={name(p.now)} to={name(p.then)} note={<>All requests to <b>{p.endpoint}</b> ({p.environment}), from revision {p.now?.revision ?? "–"} to {p.then?.revision ?? "–"}.</>} />
              <Change what="Alias" from={`@${p.alias} is v${p.now?.version ?? ""}`} to={`@${p.alias} is v${p.then?.version ?? ""}`} />
              <Change what="Baseline" from="of the newer version" to="of the older version" note="Monitoring compares traffic with the rows it was compared with before." />
            </ul>
          </section>
          <p className="muted small">{name(p.now)} stays registered and can be promoted again after an evaluation.</p>
        </div>
      )}
    </ConfirmSheet>
  );
}

