// A trace beside the list: what was asked, what was answered, how it was judged.
import { Button } from "@mantine/core";
import { useRouter } from "@tanstack/react-router";
import { CopyId } from "../../components/CopyId";
import { JsonView } from "../../components/JsonView";
import { Facts, Peek } from "../../components/Peek";
import { Loaded } from "../../components/Problem";
import { StatusMark } from "../../components/StatusMark";
import { useApi, currentProject } from "../../lib/api";
import { formatDuration, formatInstant } from "../../lib/format";
import { type TraceInfo, assessedValue, durationMs, maybeJson, ownPairs, tokensOf, traceName } from "../../lib/traces";
import { traceHref } from "../Traces";
import { shortValue } from "./Verdicts";

export function TracePeek({ id, known, onClose }: { id: string; known?: TraceInfo; onClose: () => void }) {
  const router = useRouter();
  // A link may name a trace that the list's filter leaves out.
  const query = useApi<{ trace: { trace_info: TraceInfo } }>(`/ajax-api/3.0/mlflow/traces/${encodeURIComponent(id)}`, undefined, { enabled: !known, topics: ["trace"] });
  const info = known ?? query.data?.trace.trace_info;
  const tokens = info && tokensOf(info);
  return (
    <Peek title={info ? traceName(info) : "Trace"} width={400} onClose={onClose} footer={<Button variant="filled" onClick={() => router.history.push(traceHref(currentProject(), id))}>Open trace</Button>}>
      {!info ? <Loaded query={query} what="The trace">{() => null}</Loaded> : (
        <>
          <Facts facts={[
            ["State", <StatusMark key="s" status={info.state === "OK" ? "finished" : info.state === "ERROR" ? "failed" : "running"} label={info.state === "OK" ? "OK" : undefined} />],
            ["When", formatInstant(Date.parse(info.request_time))], ["Duration", formatDuration(durationMs(info))], tokens ? ["Tokens", `${tokens.input_tokens ?? 0} in, ${tokens.output_tokens ?? 0} out`] : null,
            ...ownPairs(info.tags), ["Id", <CopyId key="i" id={info.trace_id} />],
          ]} />
          <section><h2 className="panel-title">Request</h2><JsonView value={maybeJson(info.request_preview ?? null)} /></section>
          <section><h2 className="panel-title">Response</h2><JsonView value={maybeJson(info.response_preview ?? null)} /></section>
          {info.assessments && info.assessments.length > 0 && <section className="stack" style={{ gap: 4 }}><h2 className="panel-title">Assessments</h2><Facts facts={info.assessments.map((a) => [a.assessment_name, shortValue(assessedValue(a))] as const)} /></section>}
        </>
      )}
    </Peek>
  );
}
