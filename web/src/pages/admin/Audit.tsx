// The audit: who did what to what, when, by which request.
import { getRouteApi, useNavigate } from "@tanstack/react-router";
import { CopyBlock, CopyId } from "../../components/CopyId";
import { type Column, DataGrid } from "../../components/DataGrid";
import { Chip, FilterBar, SearchInput } from "../../components/FilterBar";
import { Facts, Peek } from "../../components/Peek";
import { Empty } from "../../components/Problem";
import { currentProject } from "../../lib/api";
import { formatAgo, formatInstant, fromUs, shortId } from "../../lib/format";
import { placeOf } from "../../lib/places";
import { useWindowRows } from "../../lib/rows";
import type { AuditLine } from "./types";

const route = getRouteApi("/shell/admin/{-$section}");
interface Answer { lines: AuditLine[]; next?: string }
const read = (a: Answer) => ({ rows: a.lines, next: a.next });
const words = (action: string) => action.replace(".", " ").replaceAll("_", " ");

const COLUMNS: Column<AuditLine>[] = [
  { key: "at", label: "When", width: "100px", cell: (l) => formatAgo(fromUs(l.at_us)), title: (l) => formatInstant(fromUs(l.at_us)), raw: (l) => formatInstant(fromUs(l.at_us)) },
  { key: "actor", label: "Who", width: "minmax(120px, 1fr)", cell: (l) => <b>{l.actor.startsWith("attempt:") ? `attempt ${shortId(l.actor)}` : l.actor}</b>, title: (l) => l.actor, raw: (l) => l.actor },
  { key: "action", label: "Did", width: "minmax(150px, 1fr)", cell: (l) => words(l.action), title: (l) => l.action, raw: (l) => l.action },
  { key: "subject", label: "To", width: "minmax(180px, 1.4fr)", cell: (l) => <><span className="muted">{l.subject.kind.replaceAll("_", " ")}</span> {l.subject.id}</>, title: (l) => l.subject.id, raw: (l) => `${l.subject.kind}:${l.subject.id}` },
  { key: "body", label: "Details", width: "minmax(160px, 2fr)", cell: (l) => <span className="mono muted">{Object.keys(l.body).length ? JSON.stringify(l.body) : ""}</span>, raw: (l) => JSON.stringify(l.body) },
];

export function Audit() {
  const { actor, kind, peek } = route.useSearch();
  const navigate = useNavigate();
  const go = (change: { actor?: string; kind?: string; peek?: string }) => void navigate({ to: ".", search: (old: object) => ({ ...old, ...change }) as never, replace: true });
  const rows = useWindowRows<AuditLine, Answer>("/audit", { actor, kind }, { read, topics: ["*"] });
  const chosen = peek ? Array.from({ length: rows.count }, (_, i) => rows.at(i)).find((l) => l && String(l.id) === peek) : undefined;
  return (
    <>
      <FilterBar>
        <SearchInput label="Who" placeholder="Who: user:ann" value={actor} onChange={(value) => go({ actor: value })} width={200} />
        <SearchInput label="Did" placeholder="Did: token, alias.set" value={kind} onChange={(value) => go({ kind: value })} width={200} />
        {actor && <Chip label="who" onRemove={() => go({ actor: "" })}>by {actor}</Chip>}
        {kind && <Chip label="did" onRemove={() => go({ kind: "" })}>{words(kind)}</Chip>}
      </FilterBar>
      <DataGrid
        label="Audit" columns={COLUMNS} rows={rows} id={(l) => String(l.id)} peek={peek} onPeek={(id) => go({ peek: id ?? "" })}
        empty={actor || kind ? <Empty title="No line matches">An actor is written whole, as in user:ann; an act whole or its first word, as in token.</Empty> : <Empty title="Nothing was done yet" code="lathe audit">Each change of access, configuration, registry and deployment leaves a line here.</Empty>}
        panel={chosen && (
          <Peek title={words(chosen.action)} onClose={() => go({ peek: "" })}>
            <Facts facts={[["Who", chosen.actor], ["When", formatInstant(fromUs(chosen.at_us))], ["To", <a key="s" href={placeOf(currentProject(), chosen.subject.kind, chosen.subject.id)}>{chosen.subject.id}</a>], ["Request", chosen.request_id ? <CopyId key="r" id={chosen.request_id} /> : null]]} />
            {Object.keys(chosen.body).length > 0 && <CopyBlock text={JSON.stringify(chosen.body, null, 2)} label="Copy the details" />}
          </Peek>
        )}
      />
    </>
  );
}
