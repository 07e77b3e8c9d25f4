// Starting a run: says which tasks will run before it happens, takes parameters, and opens the new run.
import { Checkbox, Textarea } from "@mantine/core";
import { useRouter } from "@tanstack/react-router";
import { useState } from "react";
import { ConfirmSheet } from "../../components/ConfirmSheet";
import { CopyBlock } from "../../components/CopyId";
import { queries, send } from "../../lib/api";
import { plural } from "../../lib/format";
import type { Run, StageSpec } from "./types";
import { runHref } from "./words";

export interface Again {
  pipeline: string;
  title: string;
  params?: Record<string, string>;
  bundle?: string;
  force?: boolean;
  /** What is known to be taken over because it succeeded before with the same inputs; the rest runs. */
  done?: readonly string[];
}

const textOf = (params: Record<string, string> = {}) => Object.entries(params).map(([k, v]) => `${k}=${v}`).join("\n");
function paramsOf(text: string): { params: Record<string, string>; wrong?: string } {
  const params: Record<string, string> = {};
  for (const line of text.split("\n")) {
    if (!line.trim()) continue;
    const at = line.indexOf("=");
    if (at < 1) return { params, wrong: `"${line}" is not NAME=VALUE` };
    params[line.slice(0, at).trim()] = line.slice(at + 1).trim();
  }
  return { params };
}

export function RunSheet({ again, stages, onClose }: { again: Again; stages?: readonly StageSpec[]; onClose: () => void }) {
  const router = useRouter();
  const [text, setText] = useState(textOf(again.params));
  const [force, setForce] = useState(again.force ?? false);
  const { params, wrong } = paramsOf(text);
  const changed = text !== textOf(again.params);
  const kept = force || changed ? [] : (again.done ?? []);
  const willRun = stages?.filter((s) => s.always || !kept.includes(s.name)) ?? [];
  const mayRun = stages?.filter((s) => !s.always && kept.includes(s.name)) ?? [];
  const body = { params, ...(again.bundle ? { bundle: again.bundle } : {}), ...(force ? { force: true } : {}) };
  async function run() {
    const made = await send<Run>(`/pipelines/${encodeURIComponent(again.pipeline)}/runs`, body);
    void queries.invalidateQueries({ predicate: (q) => ((q.meta?.topics ?? []) as string[]).includes("pipeline_run") });
    router.history.push(runHref(made));
  }
  const flags = [...Object.entries(params).map(([k, v]) => `--param ${k}=${v}`), ...(force ? ["--force"] : [])];
  return (
    <ConfirmSheet opened onClose={onClose} title={again.title} confirm="Run" run={run} disabled={wrong}>
      <div className="stack">
        <Textarea label="Parameters" description="One NAME=VALUE a line; tasks see them as LATHE_PARAM_NAME." autosize minRows={2} maxRows={10} value={text} onChange={(e) => setText(e.currentTarget.value)} error={wrong} classNames={{ input: "mono" }} />
        <Checkbox label="Run every task, also where the inputs are unchanged" checked={force} onChange={(e) => setForce(e.currentTarget.checked)} />
        {stages && (
          <div>
            <p><b>{plural(willRun.length, "task")}</b> will run{force || kept.length > 0 ? "" : ", unless an earlier run had the same inputs"}:</p>
            <ul className="mono" style={{ paddingLeft: 18, maxHeight: 180, overflow: "auto" }}>{willRun.map((s) => <li key={s.name}>{s.name}</li>)}</ul>
            {mayRun.length > 0 && <p className="muted">{plural(mayRun.length, "task")} succeeded with these inputs and will be skipped: {mayRun.map((s) => s.name).join(", ")}</p>}
          </div>
        )}
        <CopyBlock text={`lathe run ${again.pipeline}${flags.length ? ` ${flags.join(" ")}` : ""}`} label="Copy the command" />
      </div>
    </ConfirmSheet>
  );
}
